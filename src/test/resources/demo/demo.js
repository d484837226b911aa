'use strict';
// The stage as the demo tells it: the state comes whole whenever it changes, the wire exchange by exchange. Nothing typed by
// anybody ever becomes HTML: every text goes through textContent.

const $ = id => document.getElementById(id);
let state = null;
let person = sessionStorage.getItem('person');
let chat = sessionStorage.getItem('chat');
let toAnswer = ''; // the chat whose answer is typed next, as soon as its field is there
const calls = new Map();
const seen = new Map();
let played = '';
let looking = null; // the step whose explanation is read again, if any

// Elements.

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (value === true || value === false && name.startsWith('aria-')) element.setAttribute(name, value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Text whose web addresses can be followed, and nothing else in it. */
function linked(text) {
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(/https?:\/\/[^\s<>"]*[^\s<>".,;:!?)]/g)) {
    parts.push(text.slice(end, match.index), link(match[0], match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function link(address, label) {
  try {
    const url = new URL(address);
    if (url.protocol === 'https:' || url.protocol === 'http:') {
      return make('a', {href: url.href, rel: 'noopener noreferrer', target: '_blank'}, label);
    }
  } catch { /* no address at all: shown as it is */ }
  return document.createTextNode(label);
}

/** Makes the children those of the items, and touches only what has changed. */
function list(parent, items, key, build) {
  const there = new Map([...parent.children].map(child => [child.dataset.key, child]));
  let before = null;
  for (const item of items) {
    const name = String(key(item));
    const says = JSON.stringify(item);
    let child = there.get(name);
    if (!child || child.says !== says) {
      const fresh = build(item);
      fresh.dataset.key = name;
      fresh.says = says;
      if (child) {
        const focused = child.contains(document.activeElement);
        child.replaceWith(fresh);
        fresh.style.animation = 'none';
        if (focused) (fresh.matches('button') ? fresh : fresh.querySelector('button, a') || parent).focus();
      }
      child = fresh;
    }
    there.delete(name);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== child) parent.insertBefore(child, place);
    before = child;
  }
  for (const gone of there.values()) gone.remove();
  stay(parent);
}

/** Keeps a list at its end, unless somebody has scrolled back: whatever comes, whatever changes its size, and while it is hidden. */
function stay(parent) {
  if (!parent.newest) return;
  looked(parent, Math.min(parent.end || 0, parent.scrollHeight - parent.clientHeight));
  if (parent.follows) parent.scrollTop = parent.scrollHeight;
  parent.end = parent.scrollHeight - parent.clientHeight;
  parent.newest.hidden = parent.follows;
}

/** Somebody may have scrolled; where the size has changed, nobody has. */
function looked(box, end) {
  if (box.clientHeight && box.clientHeight === box.known) box.follows = box.scrollTop > end - 60;
}

for (const box of [$('messages'), $('calls'), $('posted')]) {
  box.follows = true;
  box.newest = make('button', {type: 'button', class: 'newest', onclick: () => {
    box.scrollTop = box.scrollHeight;
    box.follows = true;
    stay(box);
  }}, '↓ newest');
  box.newest.hidden = true;
  box.after(box.newest);
  box.addEventListener('scroll', () => {
    looked(box, box.scrollHeight - box.clientHeight);
    box.newest.hidden = box.follows;
  });
  new ResizeObserver(() => {
    stay(box);
    box.known = box.clientHeight;
  }).observe(box);
}

/** Brings what is chosen among many into sight, without moving the page. */
function reveal(parent) {
  const chosen = parent.querySelector('[aria-pressed=true]');
  if (!chosen || parent.revealed === chosen) return;
  parent.revealed = chosen;
  const box = parent.getBoundingClientRect();
  const own = chosen.getBoundingClientRect();
  const past = (start, end, from, to) => start < from ? start - from : Math.max(0, end - to);
  parent.scrollLeft += past(own.left - 8, own.right + 60, box.left, box.right);
  parent.scrollTop += past(own.top, own.bottom, box.top, box.bottom);
}

// Doing something.

const act = (action, body) => post('/do/' + action, 'application/json', JSON.stringify(body || {}));

async function post(address, type, body) {
  try {
    const answer = await fetch(address, {method: 'POST', headers: {'Content-Type': type}, body});
    if (!answer.ok) notice((await answer.json()).error);
    return answer.ok;
  } catch {
    notice('The demo does not answer.');
    return false;
  }
}

let hideNotice = 0;
function notice(text, lasting) {
  set($('notice'), text);
  $('notice').hidden = !text;
  clearTimeout(hideNotice);
  if (text && !lasting) hideNotice = setTimeout(() => { $('notice').hidden = true; }, 4000);
}

// Who is looked at: a customer on the left, and their latest chat on the right.

function choose(id, sid) {
  person = id;
  chat = sid || chatsOf(id).map(one => one.sid).pop() || null;
  sessionStorage.setItem('person', person);
  sessionStorage.setItem('chat', chat || '');
  if (state) show();
}

const chatsOf = id => state.chats.filter(one => one.person === id);
const personOf = id => state.people.find(one => one.id === id);

function follow(before) {
  const tour = state.tour;
  const step = tour.person + ' ' + tour.current;
  if (!personOf(person)) person = null;
  // What somebody is writing goes to whom they write it to, whatever else happens.
  const drafted = form => person && (field(form).value.trim() || attached[form]);
  const writing = drafted('write') || drafted('reply');
  if (!writing && step !== played && (before || !person) && tour.current >= 0) person = tour.person;
  if (step !== played) looking = null;
  played = step;
  // What was there before the page was opened is no news.
  if (!before) for (const one of state.people) seen.set(one.id, one.messages.length);
  if (!writing && before && state.people.length > before.people.length && !tour.busy) person = state.people[state.people.length - 1].id;
  person = person || state.people[0].id;
  const known = before && before.chats.some(one => one.person === person && one.sid === chat);
  const fresh = before && chatsOf(person).length > before.chats.filter(one => one.person === person).length;
  if (!chatsOf(person).some(one => one.sid === chat) || !drafted('reply') && (fresh || before && !known)) choose(person);
}

// Showing it.

function show() {
  showBridge();
  showTour();
  showPhone();
  showDesk();
}

const COUNTERS = [['received', 'accepted'], ['delivered', 'delivered'], ['pending', 'waiting'], ['failed', 'refused'],
  ['duplicates', 'duplicates'], ['caught_up', 'caught up'], ['rejected', 'forged']];

function showBridge() {
  const bridge = state.bridge;
  const classic = state.generation === 'classic';
  set($('generation'), classic ? 'with the APIs of the original: X API 1.1 and Programmable Chat'
    : 'with today’s APIs: X API 2 and Flex Conversations');
  $('generation').title = classic ? './run.sh demo shows today’s' : './run.sh demo --classic shows the older ones, with quick replies';
  list($('counters'), COUNTERS.map(([name, label]) => ({name, label, count: bridge.counts[name]})), one => one.name, one =>
    make('div', {class: one.name + (one.count > 0 ? ' lit' : '')}, make('dt', {}, one.label),
      make('dd', {}, one.count >= 0 ? String(one.count) : '–')));
  $('bridge').dataset.state = bridge.state === 'running' && bridge.status !== 'ok' ? 'degraded' : bridge.state;
  set($('bridge'), bridge.state === 'killed' ? 'bridge is dead' : bridge.state === 'starting' ? 'bridge starts …'
    : bridge.status === 'ok' ? 'bridge runs' : 'degraded');
  $('bridge').title = bridge.reason || '';
  for (const button of document.querySelectorAll('[data-trouble]')) {
    button.setAttribute('aria-pressed', state.troubles.includes(button.dataset.trouble));
  }
  const dead = bridge.state === 'killed';
  set($('kill'), dead ? 'Start it again' : 'Kill the bridge');
  $('kill').dataset.do = dead ? 'restart' : 'kill';
  $('kill').classList.toggle('dead', dead);
}

const WELCOME = 'On the left a customer on X, on the right an agent in Flex, both simulated; the bridge between them is the real '
  + 'program. Let the tour lead, or write as either and see what happens.';
const MARKS = {arrived: '✓', failed: '✗', playing: '…', waiting: '·'};

function showTour() {
  const tour = state.tour;
  const current = looking ?? tour.current;
  const steps = tour.steps.map((step, i) => ({n: i + 1, title: step.title, state: step.state, current: i === current}));
  list($('steps'), steps, one => one.n, one =>
    make('li', {'data-state': one.state, title: one.title, 'aria-current': one.current ? 'step' : null,
      'aria-label': one.n + '. ' + one.title + ': ' + one.state},
      make('button', {type: 'button', title: one.n + '. ' + one.title, onclick: () => {
        looking = one.n - 1 === state.tour.current ? null : one.n - 1;
        showTour();
      }}, one.state === 'arrived' ? '✓' : one.state === 'failed' ? '✗' : String(one.n))));
  const step = tour.steps[current];
  set($('step-title'), step ? (current + 1) + '. ' + step.title : 'A guided tour in ' + tour.steps.length + ' steps');
  set($('step-text'), step ? step.explanation : WELCOME);
  list($('hops'), (step ? step.hops : []).map((hop, i) => ({i, ...hop})), one => one.i, one =>
    make('li', {'data-state': one.state, title: one.route + ': ' + one.what + missing(one)}, make('b', {}, MARKS[one.state]),
      make('i', {}, one.what + missing(one)),
      make('em', {}, one.millis ? one.millis + ' ms' : '')));
  $('words').hidden = Boolean(step);
  $('hops').hidden = !step;
  const over = tour.next === tour.steps.length;
  set($('play'), tour.leading ? 'Pause' : over ? 'Play it again' : tour.next > 0 ? 'Play on' : 'Play the tour');
  $('play').dataset.do = tour.leading ? 'pause' : 'play';
  set($('next'), over ? 'Step by step again' : 'Next step');
  $('next').disabled = tour.leading || tour.busy;
}

const missing = hop => hop.state === 'failed' ? ' – expected: ' + hop.expected + (hop.trouble ? '; ' + hop.trouble : '') : '';

const COLORS = 6;
const color = one => state.people.findIndex(other => other.id === one.id) % COLORS;
const face = one => make('span', {class: 'face', 'data-color': color(one), 'aria-hidden': 'true'},
  one.name.split(' ').map(word => word[0]).slice(0, 2).join(''));
const clock = at => new Date(at).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', hour12: false});
const STATES = {sent: 'sent', taken: '✓ taken by the bridge', arrived: '✓✓ with the agent'};

function showPhone() {
  const one = personOf(person);
  seen.set(person, one.messages.length);
  const people = state.people.map(other => ({id: other.id, name: other.name, handle: other.handle, on: other.id === person,
    news: (seen.get(other.id) || 0) < other.messages.length}));
  list($('people'), [...people, {id: 'add'}], other => other.id, other => other.id === 'add' ? addPerson() : make('button',
    {type: 'button', title: '@' + other.handle, 'aria-label': other.name + (other.news ? ', new messages' : ''), 'aria-pressed': other.on,
      class: other.news ? 'dot' : false, onclick: () => choose(other.id)}, face(other)));
  reveal($('people'));
  if ($('person').dataset.of !== person) {
    $('person').dataset.of = person;
    $('person').replaceChildren(one.name, make('small', {}, '@' + one.handle));
    $('messages').replaceChildren();
    $('messages').follows = true;
  }
  list($('messages'), one.messages, message => message.id, message => {
    const mine = message.from === 'customer';
    return make('div', {class: 'message' + (mine ? ' mine' : '')}, ...files(message), said(message), choices(message),
      make('div', {class: 'meta'}, clock(message.at) + (mine ? ' · ' + STATES[message.state] : '')));
  });
}

const addPerson = () => make('button', {type: 'button', class: 'add', title: 'Another customer', 'aria-label': 'Another customer',
  onclick: () => act('customer')}, '+');

const said = message => message.text ? make('div', {class: 'bubble', dir: 'auto'}, ...linked(message.text)) : null;

/** Pictures and videos as such, from the demo's own server; of anything else the name and the size. */
function files(message) {
  return message.files.map(file => {
    const name = file.name || 'picture';
    if (!file.url) return make('div', {class: 'bubble file'}, name + ' ', make('small', {}, size(file.size)));
    if (file.type.startsWith('video/')) {
      return make('video', {src: file.url, controls: true, preload: 'metadata', 'aria-label': name});
    }
    const title = name + ', ' + size(file.size);
    return make('a', {href: file.url, target: '_blank', rel: 'noopener', class: 'picture', title},
      make('img', {src: file.url, alt: name}));
  });
}

const called = file => file.type.startsWith('image/') ? '[picture]'
  : file.type.startsWith('video/') ? '[video]' : '[' + file.name + ']';

const size = bytes => bytes < 1e6 ? Math.ceil(bytes / 1e3) + ' KB' : (bytes / 1e6).toFixed(1) + ' MB';

function choices(message) {
  const options = (message.options || []).map((option, i) => make('button',
    {type: 'button', onclick: () => act('tap', {customer: person, message: message.id, option: i})},
    option.label, option.description ? make('span', {}, option.description) : null));
  const buttons = (message.buttons || []).map(button => link(button.url, button.label));
  return options.length + buttons.length ? make('div', {class: 'choices'}, ...options, ...buttons) : null;
}

function showDesk() {
  const tasks = state.chats.map(one => {
    const last = one.messages[one.messages.length - 1];
    return {sid: one.sid, person: one.person, ordinal: one.ordinal, state: !one.open ? 'ended' : one.accepted ? 'accepted' : 'pending',
      on: one.sid === chat, last: last ? last.text || last.files.map(called).join(' ') : ''};
  }).reverse();
  $('tasks-none').hidden = tasks.length > 0;
  list($('tasks'), tasks, one => one.sid, one => make('li', {class: one.state}, make('button',
    {type: 'button', 'aria-pressed': one.on, onclick: () => choose(one.person, one.sid)},
    face(personOf(one.person)), make('span', {class: 'name'}, '@' + personOf(one.person).handle),
    make('span', {class: 'badge ' + one.state}, one.state),
    make('span', {class: 'last'}, one.ordinal > 1 ? make('b', {}, 'opened again · ') : null, one.last))));
  reveal($('tasks'));
  const open = state.chats.find(one => one.sid === chat);
  $('chat').hidden = !open;
  if (!open) return;
  if ($('chat').dataset.of !== chat) {
    $('chat').dataset.of = chat;
    $('posted').replaceChildren();
    $('posted').follows = true;
  }
  const who = personOf(open.person);
  set($('chat-title'), who.name + ' · chat ' + open.ordinal);
  list($('posted'), open.messages, message => message.id, message => {
    const mine = message.from === 'agent';
    const told = {sent: 'sent', taken: '✓ taken by the bridge', lost: '✗ its webhook did not arrive'}[message.state];
    return make('div', {class: 'message ' + (mine ? 'mine' : message.from === 'bridge' ? 'note' : '')},
      ...files(message), said(message),
      make('div', {class: 'meta' + (message.state === 'lost' ? ' lost' : '')}, clock(message.at) + (told ? ' · ' + told : '')));
  });
  set($('chat-state'), open.open ? '' : 'This chat has ended. When the customer writes again, a new one opens.');
  $('accept').hidden = !open.open || open.accepted;
  $('reply').hidden = !open.open || !open.accepted;
  if (toAnswer === open.sid && !$('reply').hidden) {
    toAnswer = '';
    $('answer').focus();
  }
}

// The wire.

const short = target => target.replace(/\b([A-Z]{2})[0-9a-f]{28}([0-9a-f]{4})\b/g, '$1…$2').replace(/\/Services\/IS…[0-9a-f]{4}/, '/…');
const time = at => new Date(at).toLocaleTimeString('en-GB') + '.' + String(Math.floor(at % 1000)).padStart(3, '0');

function statusOf(call) {
  if (call.status < 0) return ['…', 'open'];
  if (call.status === 0) return [call.to === 'bridge' ? 'none' : 'lost', 'bad'];
  return [String(call.status), call.status < 300 ? 'good' : call.status < 500 ? 'warn' : 'bad'];
}

function put(call) {
  const line = call.event ? make('li', {class: 'event'}, call.event) : exchange(call);
  line.at = call.at;
  const old = calls.get(call.n);
  if (old) {
    const focused = old.contains(document.activeElement);
    line.style.animation = 'none';
    if (old.contains(stop)) stopAt(line.querySelector('button'));
    old.replaceWith(line);
    if (focused) stop.focus();
  } else {
    let after = $('calls').lastElementChild;
    while (after && after.at > call.at) after = after.previousElementSibling;
    if (after) after.after(line); else $('calls').prepend(line);
  }
  calls.set(call.n, line);
  while (calls.size > 400) {
    const [oldest, gone] = calls.entries().next().value;
    gone.remove();
    calls.delete(oldest);
  }
  $('calls-none').hidden = calls.size > 0;
  if (!$('calls').contains(document.activeElement)) stopAt([...$('calls').querySelectorAll('button')].at(-1));
  stay($('calls'));
}

function exchange(call) {
  const [status, mood] = statusOf(call);
  const service = call.from === 'bridge' ? call.to : call.from;
  return make('li', {'data-service': service}, make('button', {type: 'button', tabindex: '-1', onclick: () => details(call.n)},
    make('span', {class: 'at'}, time(call.at)), make('span', {class: 'who'}, call.from + ' → ' + call.to),
    make('span', {class: 'what'}, call.what),
    make('span', {class: 'status ' + mood}, status), make('span', {class: 'took'}, call.status < 0 ? '' : call.millis + ' ms'),
    make('span', {class: 'path mono'}, make('b', {}, call.method), ' ' + short(call.target))));
}

/** One stop for the Tab key, the newest line at first; the arrows go from line to line. */
let stop = null;
function stopAt(button) {
  if (stop) stop.tabIndex = -1;
  stop = button || null;
  if (stop) stop.tabIndex = 0;
}
$('calls').addEventListener('keydown', event => {
  const lines = [...$('calls').querySelectorAll('button')];
  const at = lines.indexOf(document.activeElement);
  const to = {ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: lines.length - 1}[event.key];
  if (at < 0 || to === undefined || !lines[to]) return;
  event.preventDefault();
  stopAt(lines[to]);
  stop.focus();
});

// One exchange in full.

async function details(n) {
  const answer = await fetch('/exchange/' + n);
  if (!answer.ok) return notice((await answer.json()).error);
  const call = await answer.json();
  const [status, mood] = statusOf(call);
  $('details-title').replaceChildren(call.from + ' → ' + call.to + ': ' + call.what + ' ', make('span', {class: 'status ' + mood}, status),
    make('small', {}, call.status < 0 ? 'under way' : call.millis + ' ms'));
  const left = make('div', {}, heading('The request'), make('pre', {}, call.method + ' ' + call.target), table(call.requestHeaders),
    body(call.requestBody, call.requestHeaders), heading('The answer'), table(call.answerHeaders), body(call.answer, call.answerHeaders));
  const right = make('div', {id: 'proof'}, ...proof(call), ...source(call));
  $('details-body').replaceChildren(left, right);
  if (!$('details').open) $('details').showModal();
  $('details-body').scrollTop = 0;
}

const heading = text => make('h3', {}, text);

function table(fields) {
  return make('table', {}, make('tbody', {}, ...Object.entries(fields).map(([name, value]) =>
    make('tr', {}, make('th', {scope: 'row'}, name), make('td', {class: 'mono'}, value)))));
}

function body(text, headers) {
  if (!text) return null;
  const type = Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-type')?.[1] || '';
  if (type.startsWith('application/x-www-form-urlencoded')) {
    const fields = new URLSearchParams(text);
    const met = {};
    return make('div', {}, make('pre', {}, text), table(Object.fromEntries([...fields].map(([name, value]) => {
      met[name] = (met[name] || 0) + 1;
      return [fields.getAll(name).length > 1 ? name + ' (' + met[name] + ')' : name, value];
    }))));
  }
  return make('pre', {}, indented(text));
}

/** JSON with line breaks; as it came if a number in it is larger than this language can hold. */
function indented(text) {
  try {
    return /[:,[]\s*-?\d{16}/.test(text) ? text : JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function proof(call) {
  if (!call.check) return [];
  const check = call.check;
  const unseen = call.status <= 0 && call.to === 'bridge';
  const verdict = make('span', {class: 'verdict ' + (unseen ? '' : check.holds ? 'holds' : 'fails')},
    unseen ? 'it has not answered' : check.holds ? 'it holds ✓' : 'it does not hold ✗');
  return [heading('The signature'),
    make('p', {}, check.name + ', checked by ' + check.by + ': ', verdict),
    make('p', {}, check.how),
    make('table', {}, make('tbody', {}, make('tr', {}, make('th', {scope: 'row'}, 'key'), make('td', {class: 'mono'}, check.key)),
      make('tr', {}, make('th', {scope: 'row'}, 'given'), make('td', {class: 'mono'}, check.given || 'none')))),
    make('p', {}, check.how.startsWith('Nothing') ? 'What is compared:' : 'The string that is signed:'),
    make('pre', {id: 'signed'}, check.signed)];
}

function source(call) {
  return [heading('In the source'), ...(call.source.length ? call.source.map((part, i) => make('details', {open: i === 0},
    make('summary', {}, make('code', {}, part.name), make('small', {}, part.first === part.last ? 'line ' + part.first
      : 'lines ' + part.first + '–' + part.last)), make('pre', {class: 'code', tabindex: '0'}, part.text)))
    : [make('p', {}, 'The source is not at hand: start the demo from its repository.')])];
}

// What can be clicked and typed.

document.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.trouble) act('trouble', {name: button.dataset.trouble, on: button.getAttribute('aria-pressed') !== 'true'});
  else if (button.dataset.do) act(button.dataset.do);
  else if (button.dataset.tab) tab(button.dataset.tab);
  else if (button.dataset.insert) insert(button.dataset.insert);
  else if (button.dataset.tray) openTray(button.dataset.tray, of(button.dataset.tray, '.tray').hidden);
  else if (button.dataset.pick) of(button.dataset.pick, 'input').click();
  else if (button.dataset.sample) sample(button.dataset.to, button.dataset.sample);
});
$('next').addEventListener('click', () => act('step'));
$('accept').addEventListener('click', async () => {
  toAnswer = chat;
  if (!await act('accept', {chat})) toAnswer = '';
});
$('end').addEventListener('click', () => act('end', {chat}));
$('details').addEventListener('click', event => { if (event.target === $('details')) $('details').close(); });


// Files: one at a time goes with the next message of either side.

const LARGEST = 8 << 20; // as the demo's server has it
const attached = {write: null, reply: null};
const of = (form, what) => document.querySelector(what + '[data-for=' + form + ']');
const field = form => $(form === 'write' ? 'text' : 'answer');

function openTray(form, open) {
  of(form, '.tray').hidden = !open;
  document.querySelector('[data-tray=' + form + ']').setAttribute('aria-expanded', open);
}

function attach(form, file) {
  if (file && file.size > LARGEST) {
    return notice('This demo takes files up to 8 MB, and ' + file.name + ' has ' + size(file.size) + '.');
  }
  attached[form] = file;
  openTray(form, false);
  const chip = of(form, '.attached');
  chip.hidden = !file;
  if (!file) return chip.replaceChildren();
  const picture = make('canvas', {width: 96, height: 72, 'aria-hidden': 'true'});
  chip.replaceChildren(picture, make('span', {}, file.name), make('small', {}, size(file.size)),
    make('button', {type: 'button', class: 'quiet', 'aria-label': 'Do not attach ' + file.name,
      onclick: () => attach(form, null)}, '✕'));
  if (file.type.startsWith('image/')) draw(file, picture).catch(() => picture.remove()); else picture.remove();
  field(form).focus();
}

function attachOne(form, files) {
  attach(form, files[0]);
  if (files.length > 1 && attached[form] === files[0]) notice('One file at a time: ' + files[0].name + ' goes first.');
}

/** Drawn, because the page's policy lets no picture be loaded but from the demo's server. */
async function draw(file, canvas) {
  const image = await createImageBitmap(file);
  const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  canvas.getContext('2d').drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
}

async function sample(form, name) {
  const answer = await fetch('/' + name);
  attach(form, new File([await answer.blob()], name, {type: answer.headers.get('Content-Type')}));
}

for (const form of ['write', 'reply']) {
  of(form, 'input').addEventListener('change', event => {
    if (event.target.files.length) attach(form, event.target.files[0]);
    event.target.value = '';
  });
  field(form).addEventListener('paste', event => {
    if (!event.clipboardData.files.length) return;
    event.preventDefault();
    attachOne(form, event.clipboardData.files);
  });
  let sending = false;
  $(form).addEventListener('submit', async event => {
    event.preventDefault();
    const text = field(form).value;
    const file = attached[form];
    if (sending || !text.trim() && !file) return;
    sending = true;
    const to = form === 'write' ? {customer: person} : {chat};
    const sent = file ? await post('/do/attach?' + new URLSearchParams({...to, text, name: file.name, type: file.type}),
      'application/octet-stream', file) : await act(form, {...to, text});
    sending = false;
    if (!sent) return;
    // What was typed or chosen meanwhile goes with the next one.
    if (field(form).value === text) field(form).value = '';
    if (file && attached[form] === file) attach(form, null);
  });
}

/** What is dropped on the phone or the desk goes with the next message there; nowhere may it take the page's place. */
document.addEventListener('dragover', event => event.preventDefault());
document.addEventListener('drop', event => {
  event.preventDefault();
  const onDesk = event.target.closest('#desk') && !$('reply').hidden;
  const form = event.target.closest('#phone') ? 'write' : onDesk ? 'reply' : '';
  if (form && event.dataTransfer.files.length) attachOne(form, event.dataTransfer.files);
});

$('answer').addEventListener('keydown', event => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $('reply').requestSubmit();
  }
});

function insert(text) {
  const field = $('answer');
  const space = field.value && !/\s$/.test(field.value.slice(0, field.selectionStart)) ? ' ' : '';
  field.setRangeText(space + text, field.selectionStart, field.selectionEnd, 'end');
  field.focus();
}

function tab(name) {
  document.body.dataset.tab = name;
  sessionStorage.setItem('tab', name);
  for (const button of document.querySelectorAll('#tabs button')) button.setAttribute('aria-pressed', button.dataset.tab === name);
}
tab(sessionStorage.getItem('tab') || 'phone');

// Live.

const events = new EventSource('/events');
events.addEventListener('wire', event => {
  notice('');
  $('calls').replaceChildren();
  calls.clear();
  for (const call of JSON.parse(event.data)) put(call);
  $('calls-none').hidden = calls.size > 0;
  $('calls').follows = true;
  stay($('calls'));
});
events.addEventListener('exchange', event => put(JSON.parse(event.data)));
events.addEventListener('state', event => {
  const before = state;
  state = JSON.parse(event.data);
  follow(before);
  show();
});
events.addEventListener('error', () => {
  notice('The demo has ended. ./run.sh demo starts it again, and says where its page is.', true);
  $('bridge').dataset.state = 'killed';
  set($('bridge'), 'out of reach');
});
