"""Gradio's way to find a component, made quicker, finds what the slow one finds."""

from __future__ import annotations

from typing import Any

from workbench.ui.frontend import AFTER, BEFORE

# Trees that change between the questions: nodes move, leave, and come with ids that others had.
COMPARED = """() => {
  let seed = 7;
  const below = n => ((seed = (Math.imul(seed, 1103515245) + 12345) >>> 0) >>> 8) % n;
  const slow = (() => { BEFORE; return Z; })(), quick = (() => { AFTER; return Z; })();
  const counted = {asked: 0, found: 0, wrong: 0};
  for (let tree = 0; tree < 40; tree++) {
    let root = {id: -1, children: []};
    let nodes = [root];
    const add = id => {
      const parent = nodes[below(nodes.length)], node = {id};
      (parent.children ||= []).splice(below(parent.children.length + 1), 0, node);
      nodes.push(node);
    };
    const within = (node, all = []) => { all.push(node); (node.children || []).forEach(n => within(n, all)); return all; };
    for (let id = 0; id < 60; id++) add(id);
    for (let step = 0; step < 200; step++) {
      const deed = below(6), parent = nodes[below(nodes.length)];
      if (deed === 0 && parent.children?.length) {
        const at = below(parent.children.length);
        if (!parent.children[at].children?.length) parent.children.splice(at, 1);
      }
      if (deed === 1 && parent.children?.length) parent.children.push(parent.children.shift());
      if (deed === 2) parent.children = (parent.children || []).map(node => ({...node}));
      if (deed === 3) root = {...root, children: [...root.children]};
      nodes = within(root);
      const gone = [...Array(60).keys()].filter(id => !nodes.some(n => n.id === id));
      if (deed > 3 && gone.length) add(gone[below(gone.length)]);
      const id = below(64) - 2, one = slow(root, id), other = quick(root, id);
      counted.asked++; counted.found += one !== null; counted.wrong += one !== other;
    }
  }
  return counted;
}"""


def test_it_finds_the_same_in_trees_that_change(browser: Any) -> None:
    page = browser.new_page()
    counted = page.evaluate(COMPARED.replace("BEFORE", BEFORE.decode()).replace("AFTER", AFTER.decode()))
    page.close()
    assert counted["asked"] == 8000 and counted["wrong"] == 0
    assert 2000 < counted["found"] < 8000
