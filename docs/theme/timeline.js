// A timeline to play with, in each <div class="foo-bar-timeline">: foo makes a value, bar needs it.
// Without JavaScript, the picture that stands in the element stays.
(() => {
  const PLAYING = 4000; // milliseconds
  const [FOO, BAR, HEIGHT] = [20, 122, 36]; // where the two lanes are, and how high their bars
  const DEFAULTS = { foo: 0.9, free: 0.5, dependent: 0.45, first: "bar", workers: 2, future: true };
  let count = 0;

  /** When bar starts, foo sets the value, bar needs it and gets it, and both are done. */
  function schedule({ foo, free, dependent, first, workers, future }) {
    const locked = future && workers === 1 && first === "bar"; // bar keeps the only worker
    const starts = future && (workers === 2 || locked) ? 0 : foo;
    const [set, needs] = [locked ? Infinity : foo, starts + free];
    const gets = Math.max(set, needs);
    return { locked, starts, set, needs, gets, total: gets + dependent };
  }

  const makespan = (settings) => schedule(settings).total;
  const seconds = (time) => (time === Infinity ? "for ever" : `${time.toFixed(2)} s`);

  /** What there is to say about the settings: the total, what it compares with, and a sentence. */
  function verdict(settings) {
    const { locked, needs, gets, total } = schedule(settings);
    const [apart, together] = [false, true].map((future) => makespan({ ...settings, future }));
    const saves = seconds(together) !== seconds(apart);
    const says = (compared, sentence) => [seconds(total), compared, sentence];
    if (locked)
      return says(`instead of ${seconds(apart)}`, "bar waits for foo, and foo for bar's worker: for ever.");
    if (!settings.future)
      return says(saves && together < apart ? `${seconds(together)} with the future` : "one after the other",
        settings.first === "bar" ? "Without the future, bar cannot start first: its argument does not exist yet."
          : "Without the future, bar cannot start before foo is done.");
    if (settings.workers === 1)
      return says("as without the future", "A single worker does one after the other: the future saves nothing.");
    const wait = gets - needs > 1e-9 ? `bar waits ${seconds(gets - needs)} for the value.` : "Nobody waits.";
    const order = settings.first === "bar" ? "bar starts, and foo beside it" : "foo starts, and bar beside it";
    return says(saves ? `instead of ${seconds(apart)}` : "as without the future", `${order}. ${wait}`);
  }

  /** Draws the settings as SVG, so many pixels wide. */
  function drawing(settings, width, id) {
    const { locked, starts, set, needs, gets, total } = schedule(settings);
    const whole = makespan({ ...settings, future: false }) || 1; // as long as one after the other takes
    const [left, article] = width < 420 ? [62, ""] : [78, "the "];
    const x = (time) => left + (Math.min(time, whole) / whole) * (width - left - 10);
    const box = (y, kind, from, to, ...labels) => {
      const [at, wide] = [x(from) + 1, x(to) - x(from) - 2];
      const aside = { waits: -4, uses: 4 }[kind] ?? 0; // makes room for the value between the two
      const label = labels.find((text) => text.length * 6.8 + 8 + 2 * Math.abs(aside) < wide) ?? "";
      return wide <= 0 ? "" : `<g class="${kind}"><rect x="${at}" y="${y}" width="${wide}" height="${HEIGHT}" rx="7"/>
        <text x="${at + wide / 2 + aside}" y="${y + 23}" text-anchor="middle">${label}</text></g>`;
    };
    const foo = locked
      ? box(FOO, "waits for-ever", 0, whole, "waits for bar's worker", "no worker")
      : box(FOO, "works", 0, set, `makes the value ${seconds(set)}`, `works ${seconds(set)}`, "works");
    const bar = box(BAR, "works", starts, needs, `free part ${seconds(settings.free)}`, "free part", "free")
      + box(BAR, locked ? "waits for-ever" : "waits", needs, gets, "waits for foo's value", "waits")
      + box(BAR, "uses", gets, total, `uses the value ${seconds(settings.dependent)}`, "uses the value", "uses");
    const arrow = (kind, from, top, to, bottom) => {
      const middle = (top + bottom) / 2;
      const curve = `C${from} ${middle + 12} ${to} ${middle - 12} ${to} ${bottom}`;
      return `<path class="way" d="M${from} ${top - 20}V${top}${curve}v20"/>
        <path class="${kind}" marker-end="url(#${id}-${kind})" d="M${from} ${top}${curve}"/>`;
    };
    const head = (kind) => `<marker id="${id}-${kind}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9"
      markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="head ${kind}" d="M0 0 10 5 0 10z"/></marker>`;
    const center = (x(0) + x(whole)) / 2;
    const end = x(total);
    const passing = locked
      ? arrow("stuck", center - 9, BAR - 4, center - 9, FOO + HEIGHT + 5)
        + arrow("stuck", center + 9, FOO + HEIGHT + 4, center + 9, BAR - 5)
        + `<text x="${center - 20}" y="93" text-anchor="end">needs ${article}value</text>
          <text x="${center + 20}" y="93">needs ${article}worker</text>`
      : arrow("value", x(set), FOO + HEIGHT + 2, x(settings.future ? gets : starts), BAR - 3);
    const sum = `<line class="total${locked ? " for-ever" : ""}" x1="${x(0)}" x2="${end}" y1="180" y2="180"/>
      <text class="strong" x="${end}" y="199" text-anchor="end">${seconds(total)}</text>`;
    const saved = x(whole) - end < 1 ? "" : `<line class="saved" x1="${end + 4}" x2="${x(whole)}" y1="180" y2="180"/>
      <text x="${x(whole)}" y="199" text-anchor="end">${x(whole) - end < 88 ? "" : `${seconds(whole - total)} saved`}</text>`;
    const lane = (name, role, y) => `<text class="strong" x="0" y="${y + 16}">${name}</text><text x="0" y="${y + 31}">${role}</text>
      <line class="lane" x1="${left}" x2="${x(whole)}" y1="${y + HEIGHT / 2}" y2="${y + HEIGHT / 2}"/>`;
    return `<svg viewBox="0 0 ${width} 206" width="${width}" height="206" aria-hidden="true">
      <defs>${head("value")}${head("stuck")}<clipPath id="${id}"><rect width="${width}" height="206"/></clipPath></defs>
      ${lane("foo", "producer", FOO)}${lane("bar", "consumer", BAR)}<text class="strong" x="0" y="184">total</text>
      <g class="planned">${foo}${bar}</g><g clip-path="url(#${id})">${foo}${bar}${locked ? passing : ""}${sum}</g>
      <g class="after">${saved}</g><g class="passing">${locked ? "" : passing}<circle class="ring" r="8"/><circle class="dot" r="8"/></g>
      <g class="now"><line y1="16" y2="170"/><text y="11" text-anchor="middle"></text></g></svg>`;
  }

  const slider = (name, label) => `<label>${label}<b></b>
    <input type="range" name="${name}" min="0" max="2" step="0.05"></label>`;
  const choice = (name, label, ...options) => `<fieldset><legend>${label}</legend>${options.map(([value, text]) =>
    `<label><input type="radio" name="${name}" value="${value}"><span>${text}</span></label>`).join("")}</fieldset>`;

  function mount(element) {
    const id = `foo-bar-timeline-${(count += 1)}`;
    const still = matchMedia("(prefers-reduced-motion: reduce)");
    element.innerHTML = `<form aria-label="A timeline of foo and bar"><p class="verdict"><b></b> <span></span>
      <button type="button"></button></p><div class="picture"></div><p class="sentence" role="status"></p>
      <div class="sliders">${slider("foo", "foo's work")}${slider("free", "bar's free part")}${slider("dependent", "bar's dependent part")}</div>
      <div class="choices">${choice("first", "Starts first", ["foo", "foo"], ["bar", "bar"])}
      ${choice("workers", "Workers", [1, "one"], [2, "two"])}
      ${choice("future", "Proxy future", [true, "with"], [false, "without"])}</div></form>`;
    const form = element.firstChild;
    const find = (selector) => form.querySelector(selector);
    const [picture, button] = [find(".picture"), find("button")];
    let [settings, frame] = [{}, 0];
    Object.entries(DEFAULTS).forEach(([name, value]) => (form.elements[name].value = element.dataset[name] ?? value));

    function read() {
      const value = (name) => form.elements[name].value;
      const [foo, free, dependent] = ["foo", "free", "dependent"].map((name) => Number(value(name)));
      settings = { foo, free, dependent, first: value("first"), workers: Number(value("workers")), future: value("future") === "true" };
      const words = verdict(settings);
      [find(".verdict b"), find(".verdict span"), find(".sentence")].forEach((part, i) => (part.textContent = words[i]));
      form.classList.toggle("for-ever", schedule(settings).locked);
      form.querySelectorAll("input[type=range]").forEach((input) => {
        input.previousElementSibling.textContent = seconds(Number(input.value));
        input.setAttribute("aria-valuetext", `${Number(input.value)} seconds`);
      });
      finish();
    }

    function draw() {
      picture.innerHTML = drawing(settings, Math.max(picture.clientWidth, 240), id);
    }

    /** Shows the picture as it is after a part of the play, from 0 to 1. */
    function show(part) {
      const { locked, starts, set, gets, total } = schedule(settings);
      const whole = makespan({ ...settings, future: false }) || 1;
      const [length, arrives] = [locked ? whole : total, settings.future ? gets : starts];
      const pause = locked ? 0 : 0.16 * length; // in which the time stands still and the value travels
      const played = part * (length + pause);
      const time = played < arrives ? played : Math.max(arrives, played - pause);
      const left = Number(find(".lane").getAttribute("x1"));
      const now = left + (time / whole) * (find(".lane").getAttribute("x2") - left);
      find("clipPath rect").setAttribute("width", part < 1 ? now : picture.clientWidth);
      find(".now").setAttribute("transform", `translate(${now})`);
      find(".now text").textContent = seconds(time);
      find("svg").classList.toggle("playing", part < 1);
      const path = find(".passing .way");
      const way = Math.min(1, (played - set) / (arrives + pause - set || 1));
      find(".passing").style.visibility = path && way >= 0 ? "" : "hidden";
      if (!path || way < 0) return;
      const eased = way * way * (3 - 2 * way);
      const point = path.getPointAtLength(path.getTotalLength() * eased);
      form.querySelectorAll("circle").forEach((circle) => circle.setAttribute("transform", `translate(${point.x} ${point.y})`));
      const since = Math.min(1, (played - arrives - pause) / (0.15 * length)); // since the value arrived
      find(".ring").setAttribute("r", 8 + 18 * Math.max(0, since));
      find(".ring").style.opacity = since > 0 ? 1 - since : 0;
    }

    function finish() {
      cancelAnimationFrame(frame);
      draw();
      show(1);
      button.textContent = "▶ Play";
      frame = 0;
    }

    function play() {
      finish();
      if (still.matches) return;
      button.textContent = "■ Stop";
      show(0);
      const began = performance.now();
      frame = requestAnimationFrame(function step(moment) {
        const part = Math.min(1, Math.max(0, (moment - began) / PLAYING));
        show(part);
        if (part === 1) finish();
        else frame = requestAnimationFrame(step);
      });
    }

    form.addEventListener("input", (event) => (read(), event.target.type === "radio" && play()));
    form.addEventListener("submit", (event) => event.preventDefault());
    button.addEventListener("click", () => (frame ? finish() : play()));
    new ResizeObserver(() => frame || finish()).observe(picture);
    read();
    const seen = new IntersectionObserver(([entry]) => entry.isIntersecting && (seen.disconnect(), play()), { threshold: 0.8 });
    seen.observe(picture);
  }

  window.fooBarTimeline = { makespan };
  const start = () => document.querySelectorAll(".foo-bar-timeline").forEach(mount);
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
