(function () {
  "use strict";
  var all = Array.prototype.slice.call(document.querySelectorAll("details.experiment"));

  // A browser unfolds what a link leads into; a filter may hide it, and the keyboard
  // should go on from there.
  function unfold(id) {
    var target = id && document.getElementById(id), e = target && target.closest("details.experiment");
    if (!e) return;
    if (e.hidden) show("");
    e.open = true;
    e.scrollIntoView();
    e.querySelector("summary").focus({ preventScroll: true });
  }
  function follow() { unfold(decodeURIComponent(location.hash.slice(1))); }
  window.addEventListener("hashchange", follow);
  // A second click on the same link changes no hash.
  document.addEventListener("click", function (event) {
    var a = event.target.closest && event.target.closest("a[href^='#experiment-']");
    if (a && a.getAttribute("href") === location.hash) follow();
  });

  var filters = Array.prototype.slice.call(document.querySelectorAll("[data-show]"));
  function show(verdict) {
    filters.forEach(function (b) { b.setAttribute("aria-pressed", String(b.dataset.show === verdict)); });
    all.forEach(function (e) { e.hidden = verdict !== "" && e.dataset.verdict !== verdict; });
  }
  filters.forEach(function (b) { b.addEventListener("click", function () { show(b.dataset.show); }); });
  document.querySelectorAll("[data-fold]").forEach(function (b) {
    b.addEventListener("click", function () {
      all.forEach(function (e) { if (!e.hidden) e.open = b.dataset.fold === "open"; });
    });
  });
  document.querySelectorAll(".tools").forEach(function (e) { e.hidden = false; });

  // Tooltips need a mouse that rests; a tap or a passing pointer reads them out below.
  function read(event) {
    var drawing = event.target.closest && event.target.closest(".drawing");
    if (!drawing) return;
    var title = event.target.querySelector("title") || (event.target.parentNode.tagName === "g" && event.target.parentNode.querySelector("title"));
    if (title) drawing.nextElementSibling.textContent = title.textContent;
  }
  document.addEventListener("click", read);
  document.addEventListener("pointerover", read);

  // The command is selected in any case: where the clipboard is refused, a key copies it.
  document.querySelectorAll("[data-copy]").forEach(function (b) {
    b.hidden = false;
    b.addEventListener("click", function () {
      var code = b.parentNode.querySelector("code");
      getSelection().selectAllChildren(code);
      function tell(done) { b.textContent = done ? "copied" : "selected"; }
      if (!navigator.clipboard) return tell(document.execCommand("copy"));
      navigator.clipboard.writeText(code.textContent).then(function () { tell(true); }, function () { tell(document.execCommand("copy")); });
    });
  });

  var folded = [];
  window.addEventListener("beforeprint", function () {
    folded = Array.prototype.filter.call(document.querySelectorAll("details:not([open])"), function (e) { return !e.hidden; });
    folded.forEach(function (e) { e.open = true; });
  });
  window.addEventListener("afterprint", function () { folded.forEach(function (e) { e.open = false; }); });

  follow();
})();
