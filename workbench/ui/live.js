// Keeps the live pieces of the page fresh (see live.py), and calls the tick handlers when something else may be new:
// the state of the runs changed, or the reader did something a moment ago. A page that nobody sees asks nothing.
(function () {
  const EVERY = 1000, MOMENT = 2500;  // milliseconds
  let server = null, stamp = null, touched = 0, failed = 0, timer = 0;

  function beat() {
    const button = document.querySelector('button#beat');
    if (button) button.click();
    return !!button;
  }

  function show(element, made) {
    if (typeof made !== 'string') {
      element.dispatchEvent(new CustomEvent('live', {detail: made, bubbles: true}));
      return;
    }
    const before = element.querySelector('pre'), top = before ? before.scrollTop : 0;  // a log stays where it is read,
    const atEnd = before && before.scrollHeight - before.clientHeight - top < 4;  // or goes along at its end
    const focused = before && before === document.activeElement;
    element.innerHTML = made;  // escaped where it is made
    const after = element.querySelector('pre');
    if (before && after) after.scrollTop = atEnd ? after.scrollHeight : top;
    if (focused && after) after.focus({preventScroll: true});
  }

  async function ask() {
    const there = [...document.querySelectorAll('[data-live]')].filter(element => element.getClientRects().length);
    const wanted = there.map(one => [one.dataset.live, one.dataset.key || '', one.dataset.mark || '']);
    const reply = await fetch('live?ask=' + encodeURIComponent(JSON.stringify(wanted)), {
      cache: 'no-store', signal: AbortSignal.timeout(10000),
    });
    if (reply.status === 401) return location.reload();  // it was started again and asks who this is
    if (!reply.ok) throw new Error(reply.status);
    const news = await reply.json();
    if (server !== null && news.server !== server) return location.reload();  // it was started again
    server = news.server;
    news.pieces.forEach((one, i) => {
      if (!one || (there[i].dataset.key || '') !== wanted[i][1]) return;  // meanwhile it shows another run
      show(there[i], one[1]);
      there[i].dataset.mark = one[0];  // an attribute: Gradio takes it away where it puts something else in this place
    });
    if (news.stamp !== stamp || Date.now() - touched < MOMENT) {
      if (beat()) stamp = news.stamp;
    }
  }

  async function pulse() {
    clearTimeout(timer);
    const began = Date.now();
    const ready = document.querySelector('button#beat');  // not on the login page, nor before Gradio has drawn the page
    if (ready && !document.hidden) {
      try { await ask(); failed = 0; }
      catch (error) { if (++failed === 2) beat(); }  // Gradio notices, says so, and reloads the page when it can
    }
    clearTimeout(timer);
    timer = setTimeout(pulse, ready ? Math.max(EVERY / 4, EVERY - (Date.now() - began)) : EVERY / 4);
  }

  // Gradio's loading sign goes on animating after the page has come, sixty times a second for nothing, and where page and
  // training share a computer that is several percent of the training. While nobody does anything, frames are handed out
  // four times a second.
  const LAZY = 250, AWAKE = 3000;
  const draw = window.requestAnimationFrame.bind(window), drop = window.cancelAnimationFrame.bind(window);
  const waiting = new Map();  // numbers below zero, which the browser never gives, to what cancels them
  let awake = Date.now() + AWAKE, number = 0;
  window.requestAnimationFrame = callback => {
    if (Date.now() < awake) return draw(callback);
    const id = --number;
    const timer = setTimeout(() => {
      const frame = draw(time => { waiting.delete(id); callback(time); });
      waiting.set(id, () => drop(frame));
    }, LAZY);
    waiting.set(id, () => clearTimeout(timer));
    return id;
  };
  window.cancelAnimationFrame = id => {
    if (!waiting.has(id)) return drop(id);
    waiting.get(id)();
    waiting.delete(id);
  };
  for (const kind of ['pointermove', 'pointerdown', 'wheel', 'touchmove', 'keydown', 'scroll', 'click']) {
    document.addEventListener(kind, event => {
      if (!event.target.closest?.('#beat')) awake = Date.now() + AWAKE;
    }, {capture: true, passive: true});
  }

  for (const kind of ['click', 'keydown', 'change']) {
    document.addEventListener(kind, event => {
      if (!event.target.closest?.('#beat')) touched = Date.now();
    }, true);
  }
  // A button of a piece: what it asks for is done at once, and all pieces are asked for again.
  document.addEventListener('click', async event => {
    const button = event.target.closest?.('button[data-deed]');
    if (!button) return;
    button.disabled = true;
    let said = '', refused = true;
    try {
      const reply = await fetch('live', {method: 'POST', body: JSON.stringify([button.dataset.deed, button.dataset.key])});
      if (reply.ok) ({said, refused} = await reply.json());
      else said = String(reply.status);
    } catch (error) { said = String(error); }
    if (refused) button.disabled = false;
    else if (button.dataset.then) document.querySelector(`button#${button.dataset.then}`)?.click();
    if (said) {
      const note = document.createElement('p');
      note.className = refused ? 'note refused' : 'note';
      note.textContent = said;
      const before = button.parentElement.nextElementSibling;
      if (before?.classList.contains('told')) before.remove();
      note.classList.add('told');
      button.parentElement.after(note);
    }
    pulse();
  });

  // The list of jobs, opened by the chip that tells what runs, closed by a click elsewhere or by Escape.
  document.addEventListener('click', event => {
    if (!event.isTrusted) return;  // a script's own, such as the beat
    const root = document.documentElement.dataset, open = root.jobs === 'open';  // Gradio resets the header's own classes
    if (event.target.closest?.('#chip-run')) root.jobs = open ? '' : 'open';
    else if (open && !event.target.closest?.('#header-jobs')) root.jobs = '';
    else return;
    pulse();
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape') document.documentElement.dataset.jobs = '';
  });
  document.addEventListener('visibilitychange', () => { if (!document.hidden) pulse(); });
  document.addEventListener('DOMContentLoaded', pulse);
})();
