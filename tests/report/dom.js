"use strict";
/* As much of a browser's document as page.js uses, built from the element tree that test_script.py passes in. */

class Node {
  constructor(tree) {
    this.tag = tree.tag;
    this.attributes = new Map(Object.entries(tree.attributes));
    this.parentNode = null;
    this.childNodes = [];
    this.listeners = [];
    for (const child of tree.children) this.appendChild(typeof child === "string" ? { text: child } : new Node(child));
  }
  appendChild(child) {
    if (child.parentNode) child.parentNode.childNodes.splice(child.parentNode.childNodes.indexOf(child), 1);
    if (child instanceof Node) child.parentNode = this;
    this.childNodes.push(child);
  }
  get children() { return this.childNodes.filter((child) => child instanceof Node); }
  descendants() { return this.children.flatMap((child) => [child, ...child.descendants()]); }
  get textContent() {
    return this.childNodes.map((child) => (child instanceof Node ? child.textContent : child.text)).join("");
  }
  set textContent(text) { this.childNodes = [{ text }]; }
  getAttribute(name) { return this.attributes.has(name) ? this.attributes.get(name) : null; }
  setAttribute(name, value) { this.attributes.set(name, String(value)); }
  removeAttribute(name) { this.attributes.delete(name); }
  hasAttribute(name) { return this.attributes.has(name); }
  get hidden() { return this.hasAttribute("hidden"); }
  set hidden(value) { value ? this.setAttribute("hidden", "") : this.removeAttribute("hidden"); }
  get classList() {
    const names = (this.getAttribute("class") || "").split(" ");
    return { contains: (name) => names.includes(name) };
  }
  get rows() { return this.children.filter((child) => child.tag === "tr"); }
  get cells() { return this.children.filter((child) => child.tag === "td" || child.tag === "th"); }
  get cellIndex() { return this.parentNode.cells.indexOf(this); }
  get tHead() { return this.children.find((child) => child.tag === "thead"); }
  get tBodies() { return this.children.filter((child) => child.tag === "tbody"); }
  getElementsByClassName(name) { return this.descendants().filter((node) => node.classList.contains(name)); }
  getElementById(id) { return this.descendants().find((node) => node.getAttribute("id") === id); }
  addEventListener(kind, listener) { if (kind === "click") this.listeners.push(listener); }
  click() { for (const listener of this.listeners) listener(); }
}

const { tree, script, clicks } = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const page = new Node(tree);
new Function("document", script)(page);

/* What the visible rows of the board say, what its heads say about sorting, and what was announced. */
function state() {
  const [board] = page.getElementsByClassName("board");
  return {
    rows: board.tBodies.map((body) => body.rows.filter((row) => !row.hidden).map((row) => row.cells[1] ? row.cells[1].textContent : "")),
    sorted: board.tHead.rows[0].cells.filter((head) => head.hasAttribute("aria-sort")).map((head) => [head.textContent, head.getAttribute("aria-sort")]),
    expanded: board.getElementsByClassName("fold").map((button) => button.getAttribute("aria-expanded")),
    status: page.getElementById("status").textContent,
  };
}

const states = [state()];
for (const text of clicks) {
  const [board] = page.getElementsByClassName("board");
  const buttons = [...board.getElementsByClassName("sort"), ...board.getElementsByClassName("fold")];
  buttons.find((button) => button.textContent === text).click();
  states.push(state());
}
process.stdout.write(JSON.stringify(states));
