"use strict";
// Draws the data that stand in the page. All that comes from a file is put in as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const SVG = "http://www.w3.org/2000/svg";
  // So many things of a kind are drawn at a time. Of more, a sample is: who looks at so many at once
  // wants their outline.
  const DRAWN_MAX = 2500, SAMPLE = 700;

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children.filter((child) => child !== null));
    return made;
  };
  const shape = (name, attributes = {}, text = null) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== null) made.textContent = text;
    return made;
  };
  const seconds = (ns, places = 3) => `${(ns / 1e9).toFixed(places)} s`;
  const span = (ns) => ns >= 1e9 ? seconds(ns, 2) : ns >= 1e6 ? `${(ns / 1e6).toFixed(2)} ms` : `${(ns / 1e3).toFixed(1)} µs`;

  // ---------------------------------------------------------------- the suite
  const table = (head, rows) => {
    const body = element("tbody");
    for (const row of rows) body.append(row);
    const titles = head.map(([title, side]) => element("th", side ? { class: side } : {}, title));
    return element("div", { class: "scroll" },
      element("table", {}, element("thead", {}, element("tr", {}, ...titles)), body));
  };
  const cell = (text, kind) => element("td", kind ? { class: kind } : {}, `${text}`);
  const suite = (scenarios) => {
    const time = (ns) => ns === null ? "–" : span(ns);
    const rows = scenarios.map((one) => element("tr", { "data-scenario": one.name },
      cell(one.name), cell(one.seeds), cell(one.passed), cell(one.failed, one.failed > 0 ? "bad" : ""),
      cell(one.caught === null ? "–" : one.caught), cell(one.tuples),
      cell(Object.entries(one.faults).map(([kind, count]) => `${kind} ${count}`).join(", "), "left"),
      cell(`${one.power_cuts_unsynced} / ${one.power_cuts}`),
      cell(time(one.recovery_ns.p50)), cell(time(one.recovery_ns.p99))));
    return element("section", { class: "card", id: "suite" }, element("h3", {}, "The suite"),
      table([["scenario"], ["seeds"], ["passed"], ["failed"], ["caught"], ["tuples"], ["faults fired", "left"],
        ["unsynced / cuts"], ["recovery p50"], ["p99"]], rows));
  };

  // ---------------------------------------------------------------- one failure
  const story = (sentences, go) => {
    const list = element("ol", { class: "story" });
    for (const { at_ns, kind, text } of sentences) {
      const timed = at_ns !== null;
      const item = element("li", { class: timed ? `${kind} timed` : kind },
        element("time", {}, timed ? seconds(at_ns) : ""), element("span", {}, text));
      if (timed) {
        item.tabIndex = 0;
        item.title = "show this moment in the diagram";
        item.addEventListener("click", () => go(at_ns));
        item.addEventListener("keydown", (event) => { if (event.key === "Enter") go(at_ns); });
      }
      list.append(item);
    }
    return list;
  };
  const plan = (title, faults, struck, kept) => {
    const rows = faults.map(({ when, what }, place) => {
      const hit = struck && struck.find((one) => one.fault === place);
      const gone = kept && !kept.some((one) => one.when === when && one.what === what);
      return element("tr", gone ? { class: "gone" } : {}, cell(place),
        element("td", { class: "left" }, element("code", {}, what)),
        element("td", { class: "left" }, element("code", {}, when)),
        cell(struck ? (hit ? seconds(hit.at_ns) : "did not happen") : ""));
    });
    return element("div", { class: "plan" }, element("h3", {}, title),
      table([["#"], ["what", "left"], ["when", "left"], [struck ? "struck at" : ""]], rows));
  };
  const failure = (drawing) => {
    const { scenario, seed, defects, about, digest, replay, verdicts, plan_before } = drawing;
    const named = defects.length > 0 ? `, with the defect ${defects.join(", ")}` : "";
    const said = element("ul", { class: "verdicts" });
    for (const { kind, message } of verdicts.slice(0, 6)) said.append(element("li", {}, element("b", {}, `${kind}: `), message));
    if (verdicts.length > 6) said.append(element("li", { class: "soft" }, `and ${verdicts.length - 6} more`));
    const view = diagram(drawing);
    const plans = element("div", { class: "plans" });
    if (plan_before) plans.append(plan("The plan before it was shrunk", plan_before, null, drawing.plan));
    plans.append(plan(plan_before ? "The plan, shrunk" : "The plan", drawing.plan, drawing.faults, null));
    return element("section", { class: "card failure", "data-scenario": scenario, "data-seed": seed },
      element("h2", {}, `${scenario}, seed ${seed}${named}`), element("div", { class: "soft" }, about), said,
      replay ? element("pre", {}, replay) : null,
      element("div", { class: "soft" }, "digest ", element("code", {}, digest)),
      element("h3", {}, "The diagram"),
      drawing.end_ns > 0 ? view.root : element("p", { class: "soft" }, "The run cost its worker and is not drawn: it would not come back."),
      element("h3", {}, "The story"), story(drawing.story, view.go), plans);
  };

  // ---------------------------------------------------------------- the diagram
  // Data sorted by their time; those within a window are found by halving.
  const first = (list, ns, key) => {
    let low = 0, high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle][key] < ns) low = middle + 1; else high = middle;
    }
    return low;
  };
  const KINDS = [
    ["message", "datagrams", "#5b8def"], ["lost", "lost datagrams", "#c8321f"], ["disk", "disk operations", "#9aa5b8"],
    ["mark", "marks", "#334455"], ["log", "what nodes said", "#1f6f54"], ["fault", "faults", "#c8321f"],
    ["epoch", "epochs", "#b9ccf1"], ["tuple", "tuples objected to", "#b45f06"],
  ];
  const diagram = (drawing) => {
    const { nodes, texts, end_ns } = drawing;
    const LEFT = 110, ROW = 24, TOP = 26, FAULTS = TOP, EPOCHS = TOP + 20, LANES = TOP + 46, WIDTH = 1400;
    const bottom = LANES + nodes.length * ROW;
    const svg = shape("svg", { viewBox: `0 0 ${WIDTH} ${bottom + 8}`, role: "img", "aria-label": "space-time diagram" });
    const told = element("div", { class: "told soft" }, "point at something to see what it is; wheel or buttons zoom, drag moves, a click on a node's name hides it");
    const note = element("span", { class: "soft note" });
    const shown = new Set(KINDS.map(([kind]) => kind));
    const hidden = new Set();
    const full = Math.max(end_ns, 1);
    let from = 0, to = full;
    drawing.messages.sort((a, b) => a[0] - b[0]);
    drawing.disk.sort((a, b) => a[0] - b[0]);
    const longest = drawing.messages.reduce((most, m) => Math.max(most, m[2] - m[0]), 0);
    const longestDisk = drawing.disk.reduce((most, d) => Math.max(most, d[1] - d[0]), 0);
    const x = (ns) => LEFT + (ns - from) / (to - from) * (WIDTH - LEFT - 10);
    const clamp = (at) => Math.min(Math.max(at, LEFT), WIDTH - 10);
    const y = (node) => LANES + node * ROW + ROW / 2;
    const inside = (a, b) => b >= from && a <= to;
    const tell = (made, text) => { made.addEventListener("mouseenter", () => { told.textContent = text; told.className = "told"; }); return made; };
    let left = [];
    // What of a list is to be drawn.
    const some = (kind, list) => {
      if (list.length <= DRAWN_MAX) return list;
      const step = Math.ceil(list.length / SAMPLE);
      const kept = list.filter((_, place) => place % step === 0);
      left.push(`${kept.length} of ${list.length} ${kind}`);
      return kept;
    };
    const within = (list, longest) => list.slice(first(list, from - longest, 0), first(list, to, 0));
    const draw = {
      disk() {
        const all = within(drawing.disk, longestDisk).filter((d) => d[1] >= from && !hidden.has(d[2]));
        for (const [begin, end, node, text] of some("disk operations", all)) {
          const at = clamp(x(begin)), width = Math.max(clamp(x(end)) - at, 0.7);
          svg.append(tell(shape("rect", { class: "disk", x: at, y: y(node) + 3, width, height: 4 }),
            `${nodes[node]}: ${texts[text]}, ${seconds(begin, 6)}, for ${span(end - begin)}`));
        }
      },
      message() {
        const all = within(drawing.messages, longest).filter((m) => m[2] >= from && !hidden.has(m[1]) && !hidden.has(m[3]));
        for (const [sent, source, got, target, bytes] of some("datagrams", all)) {
          svg.append(tell(shape("line", { class: "message", x1: x(sent), y1: y(source), x2: x(got), y2: y(target) }),
            `datagram of ${bytes} bytes from ${nodes[source]} at ${seconds(sent, 6)} to ${nodes[target]}, taken after ${span(got - sent)}`));
        }
      },
      lost() {
        const all = within(drawing.lost, 0).filter((l) => !hidden.has(l[1]) && !hidden.has(l[2]));
        for (const [at, source, target, why] of some("lost datagrams", all)) {
          const middle = y(source) + (y(target) - y(source)) * 0.4;
          svg.append(tell(shape("line", { class: "lost", x1: x(at), y1: y(source), x2: x(at) + 3, y2: middle }),
            `datagram from ${nodes[source]} to ${nodes[target]} at ${seconds(at, 6)}: lost ${texts[why]}`));
        }
      },
      mark() {
        const all = within(drawing.marks, 0).filter((m) => !hidden.has(m[1]));
        for (const [at, node, name] of some("marks", all)) {
          const place = x(at), base = y(node) - 2;
          svg.append(tell(shape("path", { class: "mark", d: `M${place} ${base}l-2.5 -5h5z` }),
            `${nodes[node]} passed ${texts[name]} at ${seconds(at, 6)}`));
        }
      },
      log() {
        const all = within(drawing.logs, 0).filter((l) => !hidden.has(l[1]));
        for (const [at, node, text] of some("lines of nodes", all)) {
          svg.append(tell(shape("circle", { class: "log", cx: x(at), cy: y(node), r: 2.6 }),
            `${nodes[node]} at ${seconds(at, 6)}: ${texts[text]}`));
        }
      },
      epoch() {
        for (const [epoch, begin, commit, end] of drawing.epochs) {
          const over = end ?? commit ?? begin;
          if (!inside(begin, over)) continue;
          const at = clamp(x(begin)), width = Math.max(clamp(x(over)) - at, 1);
          const group = shape("g", { class: "epoch", "data-epoch": epoch });
          group.append(shape("rect", { class: epoch % 2 ? "odd" : "even", x: at, y: EPOCHS, width, height: 16 }));
          if (width > 16) group.append(shape("text", { x: at + width / 2, y: EPOCHS + 12, "text-anchor": "middle" }, `${epoch}`));
          svg.append(tell(group, `epoch ${epoch}: offsets decided at ${seconds(begin)}` +
            (commit === null ? ", never committed" : `, committed after ${span(commit - begin)}`) +
            (end === null ? ", not published everywhere" : `, published after ${span(end - begin)}`)));
        }
      },
      fault() {
        let last = -1000;
        for (const { fault, kind, at_ns, back_ns, texts: came } of drawing.faults) {
          if (!inside(at_ns, back_ns)) continue;
          const at = clamp(x(at_ns)), width = Math.max(clamp(x(back_ns)) - at, 2);
          const group = shape("g", { class: "fault", "data-kind": kind, "data-fault": fault });
          group.append(shape("rect", { x: at, y: FAULTS + 2, width, height: 6 }));
          if (at_ns >= from) group.append(shape("line", { x1: at, x2: at, y1: FAULTS, y2: bottom }));
          if (at - last > 8 + 6 * kind.length) {
            group.append(shape("text", { class: "halo", x: at + 2, y: FAULTS + 18 }, kind));
            last = at;
          }
          svg.append(tell(group, `fault ${fault}: ${kind} at ${seconds(at_ns)}, over at ${seconds(back_ns)}: ${came.join("; ")}`));
        }
      },
      tuple() {
        for (const { id, node, acknowledged_ns, place } of drawing.tuples) {
          if (acknowledged_ns === null || !inside(acknowledged_ns, acknowledged_ns)) continue;
          const where = place === null ? "" : `, partition ${place[0]}${place[1] === null ? "" : `, offset ${place[1]}`}`;
          pin("tuple", acknowledged_ns, node, `tuple ${id}`, { "data-tuple": id },
            `tuple ${id}: acknowledged to ${nodes[node]} at ${seconds(acknowledged_ns, 6)}${where}`);
        }
        for (const [at, node, what] of drawing.seen) {
          if (inside(at, at)) pin("seen", at, node, what, {}, `a client saw at ${nodes[node]} what the oracle objects to, at ${seconds(at, 6)}: ${what}`);
        }
      },
    };
    // Labels of pins on one lane give way to each other.
    let pinned = new Map();
    const pin = (kind, at, node, label, more, text) => {
      const place = x(at), lane = y(node), group = shape("g", { class: kind, ...more });
      group.append(shape("line", { x1: place, x2: place, y1: LANES, y2: bottom }));
      group.append(shape("path", { d: `M${place} ${lane - 6}l6 6l-6 6l-6 -6z` }));
      const before = pinned.get(node) ?? -1000;
      if (place - before > 8 + 6.5 * label.length) {
        const flip = place > WIDTH - 20 - 7 * label.length;
        group.append(shape("text", { class: "halo", x: flip ? place - 9 : place + 9, y: lane - 3, "text-anchor": flip ? "end" : "start" }, label));
        pinned.set(node, place);
      }
      svg.append(tell(group, text));
    };
    const axis = () => {
      const group = shape("g", { class: "axis" });
      const rough = (to - from) / 9, power = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((times) => times * power).find((step) => step >= rough);
      const places = Math.max(0, Math.min(9, 9 - Math.floor(Math.log10(step))));
      for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
        group.append(shape("line", { x1: x(at), x2: x(at), y1: TOP, y2: bottom }));
        const edge = x(at) < LEFT + 20 ? "start" : x(at) > WIDTH - 30 ? "end" : "middle";
        group.append(shape("text", { x: x(at), y: 15, "text-anchor": edge }, seconds(at, places)));
      }
      svg.append(group);
    };
    const lanes = () => {
      svg.append(shape("rect", { x: 0, y: 0, width: LEFT, height: bottom + 8, fill: "#fff" }));
      svg.append(shape("text", { class: "row", x: 8, y: FAULTS + 10 }, "faults"));
      svg.append(shape("text", { class: "row", x: 8, y: EPOCHS + 12 }, "epochs"));
      nodes.forEach((name, node) => {
        const label = shape("text", { class: hidden.has(node) ? "name off" : "name", x: 8, y: y(node) + 4 }, name);
        label.addEventListener("click", () => { hidden.has(node) ? hidden.delete(node) : hidden.add(node); redraw(); });
        svg.append(label);
      });
    };
    const stands = () => {
      for (const [begin, end, node, why] of drawing.spans) {
        if (!inside(begin, end)) continue;
        const text = texts[why], kind = text === "down" || text === "paused" ? text : "ended";
        const at = clamp(x(begin)), width = Math.max(clamp(x(end)) - at, 1.5);
        svg.append(tell(shape("rect", { class: kind, "data-node": nodes[node], x: at, y: y(node) - 8, width, height: 16, rx: 2, "fill-opacity": 0.8 }),
          `${nodes[node]}: ${text} from ${seconds(begin)}, for ${span(end - begin)}`));
      }
    };
    const redraw = () => {
      svg.replaceChildren();
      left = [];
      pinned = new Map();
      axis();
      nodes.forEach((_, node) => svg.append(shape("line", { class: "lane", x1: LEFT, x2: WIDTH - 10, y1: y(node), y2: y(node) })));
      if (shown.has("epoch")) draw.epoch();
      for (const kind of ["disk", "message", "lost"]) if (shown.has(kind)) draw[kind]();
      stands();
      for (const kind of ["mark", "log", "fault", "tuple"]) if (shown.has(kind)) draw[kind]();
      lanes();
      note.textContent = `${seconds(from)} to ${seconds(to)}` + (left.length > 0 ? `; drawn are ${left.join(", ")}: zoom in for the rest` : "");
    };
    let asked = false;
    const later = () => {
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; redraw(); });
    };
    const window_ = (start, length) => {
      const wide = Math.min(Math.max(length, 1000), full);
      from = Math.min(Math.max(start, 0), full - wide);
      to = from + wide;
      later();
    };
    const zoom = (factor, centre) => window_(centre - (centre - from) * factor, (to - from) * factor);
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const place = (event.clientX - box.left) / box.width * WIDTH;
      return from + (Math.max(place, LEFT) - LEFT) / (WIDTH - LEFT - 10) * (to - from);
    };
    svg.addEventListener("wheel", (event) => { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, at(event)); }, { passive: false });
    let drag = null;
    svg.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, from }; svg.classList.add("dragging"); });
    addEventListener("pointerup", () => { drag = null; svg.classList.remove("dragging"); });
    addEventListener("pointermove", (event) => {
      if (drag === null) return;
      const scale = (to - from) / (svg.getBoundingClientRect().width * (WIDTH - LEFT - 10) / WIDTH);
      window_(drag.from - (event.clientX - drag.x) * scale, to - from);
    });
    const controls = element("div", { class: "controls" });
    for (const [kind, label, colour] of KINDS) {
      const box = element("input", { type: "checkbox", checked: "", "data-kind": kind });
      box.addEventListener("change", () => { box.checked ? shown.add(kind) : shown.delete(kind); redraw(); });
      controls.append(element("label", {}, box, element("span", { class: "swatch", style: `background:${colour}` }), label));
    }
    const button = (label, title, act) => {
      const made = element("button", { type: "button", title }, label);
      made.addEventListener("click", act);
      return made;
    };
    controls.append(button("+", "zoom in", () => zoom(0.5, (from + to) / 2)),
      button("−", "zoom out", () => zoom(2, (from + to) / 2)), button("all", "the whole run", () => window_(0, full)), note);
    redraw();
    return {
      root: element("div", {}, controls, element("div", { class: "diagram" }, svg), told),
      go(ns) {
        const wide = Math.min(full, 1e9);
        window_(ns - wide / 2, wide);
        svg.scrollIntoView({ block: "nearest" });
      },
    };
  };

  page.replaceChildren(element("h1", {}, "Unplug"), element("div", { class: "soft" }, `${data.verdict} · unplug ${data.version}`));
  if (data.scenarios.length > 0) page.append(suite(data.scenarios));
  for (const drawing of data.drawings) page.append(failure(drawing));
  if (data.more > 0) page.append(element("p", { class: "soft" }, `${data.more} more runs failed and are not drawn; unplug replay draws each.`));
  document.title = `Unplug: ${data.verdict}`;
})();
