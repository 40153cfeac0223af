// What Gradio leaves out for those who use a keyboard or hear the page, and for everybody who opens another tab (access.py).
(function () {
  const tabsOf = list => [...list.querySelectorAll('[role=tab]')];
  const isOpen = tab => tab.getAttribute('aria-selected') === 'true';
  let opened = null;

  function set(element, name, value) {
    if (element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  // Of the tabs only the open one can be reached with the tab key; the arrows move between them.
  function tabs() {
    for (const list of document.querySelectorAll('[role=tablist]')) {
      for (const tab of tabsOf(list)) {
        set(tab, 'tabindex', isOpen(tab) ? '0' : '-1');
        const panel = document.getElementById(tab.getAttribute('aria-controls'));
        if (panel) set(panel, 'aria-labelledby', tab.id);
      }
    }
    const now = document.querySelector('#tabs [role=tab][aria-selected=true]');
    if (now && now !== opened) {
      if (opened) arrive(now);
      opened = now;
    }
  }

  // A tab opens at its top. What had the focus is gone when it was a button of the tab before.
  function arrive(tab) {
    scrollTo(0, 0);
    const left = document.activeElement?.closest('[role=tabpanel]');
    if (left && left.id !== tab.getAttribute('aria-controls')) tab.focus({preventScroll: true});
  }

  document.addEventListener('keydown', event => {
    const tab = event.target.closest?.('[role=tab]'), list = tab?.closest('[role=tablist]');
    if (!list || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const all = tabsOf(list), at = all.indexOf(tab);
    const to = {ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = all[(to + all.length) % all.length];
    next.focus();
    next.click();
  });

  // What stands there, without innerText, which makes the browser lay out the whole page first.
  function words(element) {
    const found = [], walk = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) found.push(walk.currentNode.data);
    return found.join(' ').replace(/\s+/g, ' ').trim();
  }

  function names() {
    // Its name has to begin with what stands there, or nobody can say it to a computer that listens.
    for (const box of document.querySelectorAll('button.upload-container')) {
      const said = words(box), label = box.closest('.block')?.querySelector('[data-testid=block-label]');
      if (said) set(box, 'aria-label', label ? said + ': ' + words(label) : said);
    }
    for (const fold of document.querySelectorAll('button.label-wrap')) {
      set(fold, 'aria-expanded', String(fold.classList.contains('open')));
    }
    // What stands in an empty chat is no part of the page beside the others.
    document.querySelectorAll('.placeholder-content[role=complementary]').forEach(one => one.removeAttribute('role'));
  }

  // An answer that is being written changes the page many times a second: all is looked at once a frame at most. A page that
  // nobody sees draws no frames.
  let frame = 0, late = 0;

  function soon() {
    if (late) return;
    late = setTimeout(mend, 250);
    frame = requestAnimationFrame(mend);
  }

  function mend() {
    clearTimeout(late);
    cancelAnimationFrame(frame);
    late = 0;
    tabs();
    names();
  }

  new MutationObserver(changes => {
    if (changes.some(change => change.attributeName === 'aria-selected')) tabs();  // before others scroll to what they show
    soon();
  }).observe(document.documentElement, {
    childList: true, subtree: true, attributes: true, attributeFilter: ['aria-selected', 'class'],
  });
})();
