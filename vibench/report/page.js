"use strict";
/* Sorting and unfolding of the boards. Without this script every table is whole and unfolded. */
(function () {
  var collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  /* The rows of a section in groups that stay together: a row, and behind it the seeds folded into it. */
  function groupsOf(body) {
    var groups = [];
    Array.from(body.rows).forEach(function (row) {
      if (row.classList.contains("section")) return;
      if (row.classList.contains("seed") && groups.length) groups[groups.length - 1].push(row);
      else groups.push([row]);
    });
    return groups;
  }

  function keyOf(row, column, kind) {
    var cell = row.cells[column];
    if (kind === "text") {
      var text = cell.textContent.trim();
      return text === "–" ? null : text;
    }
    return cell.hasAttribute("data-value") ? Number(cell.getAttribute("data-value")) : null;
  }

  /* Missing values come last in either direction. */
  function compare(a, b, kind, sign) {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (kind === "text" ? collator.compare(a, b) : a - b);
  }

  /* First the better end, then the other, then back to the order of the ranks. */
  function nextDirection(now, first) {
    var other = first === "ascending" ? "descending" : "ascending";
    return now === null ? first : now === first ? other : null;
  }

  function sort(table, head, announce) {
    var direction = nextDirection(head.getAttribute("aria-sort"), head.getAttribute("data-first"));
    var kind = head.getAttribute("data-kind");
    Array.from(table.tHead.rows[0].cells).forEach(function (other) { other.removeAttribute("aria-sort"); });
    if (direction !== null) head.setAttribute("aria-sort", direction);
    Array.from(table.tBodies).forEach(function (body) {
      var groups = groupsOf(body);
      groups.sort(function (a, b) {
        var order = direction === null ? 0 : compare(
          keyOf(a[0], head.cellIndex, kind), keyOf(b[0], head.cellIndex, kind), kind, direction === "ascending" ? 1 : -1);
        return order || Number(a[0].getAttribute("data-place")) - Number(b[0].getAttribute("data-place"));
      });
      groups.forEach(function (group) { group.forEach(function (row) { body.appendChild(row); }); });
    });
    announce(direction === null ? "in the order of ranks" : "sorted by " + head.textContent.trim() + ", " + direction);
  }

  function unfold(button, open) {
    button.setAttribute("aria-expanded", String(open));
    button.getAttribute("aria-controls").split(" ").forEach(function (id) {
      document.getElementById(id).hidden = !open;
    });
  }

  function start() {
    var status = document.getElementById("status");
    function announce(text) { status.textContent = text; }
    Array.from(document.getElementsByClassName("board")).forEach(function (table) {
      Array.from(table.tBodies).forEach(function (body) {
        groupsOf(body).forEach(function (group, place) { group[0].setAttribute("data-place", String(place)); });
      });
      Array.from(table.getElementsByClassName("sort")).forEach(function (button) {
        button.addEventListener("click", function () { sort(table, button.parentNode, announce); });
      });
      Array.from(table.getElementsByClassName("fold")).forEach(function (button) {
        unfold(button, false);
        button.addEventListener("click", function () {
          unfold(button, button.getAttribute("aria-expanded") !== "true");
        });
      });
    });
  }

  start();
})();
