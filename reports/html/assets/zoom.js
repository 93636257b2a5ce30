(function () {
  "use strict";
  // Zooms the timelines: by buttons, by keys while a timeline has the focus, and by a
  // mouse that is dragged over one. Without it they show the whole experiment.
  var closest = 64, least = 4;

  function add(parent, name, attributes) {
    var e = document.createElementNS(parent.namespaceURI, name);
    Object.keys(attributes).forEach(function (a) { e.setAttribute(a, attributes[a]); });
    return parent.appendChild(e);
  }

  function Zoom(drawing) {
    this.plot = drawing.querySelector(".plot");
    var box = this.plot.viewBox.baseVal;
    this.left = box.x;
    this.width = box.width;
    this.seconds = Number(this.plot.dataset.seconds);
    this.from = 0;
    this.to = 1;
  }

  // show makes the plot show a part of the experiment, from and to being shares of it.
  Zoom.prototype.show = function (from, to) {
    var length = Math.min(1, Math.max(to - from, 1 / closest));
    this.from = Math.min(Math.max(from, 0), 1 - length);
    this.to = this.from + length;
    this.plot.classList.toggle("zoomed", length < 1);
    this.plot.querySelectorAll("path, text").forEach(this.move, this);
    this.ticks();
  };

  Zoom.prototype.x = function (x) {
    return this.left + ((x - this.left) / this.width - this.from) / (this.to - this.from) * this.width;
  };

  // move gives an element its place, from the one that it was drawn at.
  Zoom.prototype.move = function (e) {
    var self = this, name = e.tagName === "text" ? "x" : "d";
    if (e.was === undefined) e.was = e.getAttribute(name);
    e.setAttribute(name, name === "x" ? this.anchor(e) : e.was.replace(/([MHL])(-?[\d.]+)/g, function (all, letter, x) {
      return letter + self.x(Number(x)).toFixed(1);
    }));
  };

  // anchor is the place of a text. One inside a bar stays in the part of it that is seen.
  Zoom.prototype.anchor = function (text) {
    var x = this.x(Number(text.was)), bar = text.classList.contains("inside") && /M(-?[\d.]+) [^H]*H(-?[\d.]+)/.exec(text.previousElementSibling.was);
    if (!bar) return x;
    var from = Math.max(this.x(Number(bar[1])), this.left), to = Math.min(this.x(Number(bar[2])), this.left + this.width);
    if (to - from < 10) return x;
    return text.classList.contains("mid") ? (from + to) / 2 : from;
  };

  Zoom.prototype.ticks = function () {
    var grid = this.plot.querySelector(".grid"), ticks = this.plot.querySelector(".tick");
    var top = this.plot.dataset.top, bottom = Number(this.plot.dataset.bottom), lines = "";
    var length = (this.to - this.from) * this.seconds, unit = Math.pow(10, Math.floor(Math.log10(length / 10)));
    var step = unit * [1, 2, 5, 10].find(function (f) { return length / 10 <= f * unit * 1.0001; });
    var digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    ticks.replaceChildren();
    for (var n = Math.ceil(this.from * this.seconds / step); n * step <= this.to * this.seconds * 1.0001; n++) {
      var x = this.x(this.left + n * step / this.seconds * this.width).toFixed(1);
      lines += "M" + x + " " + top + "V" + bottom;
      add(ticks, "text", { x: x, y: bottom + 14 }).textContent = (n * step).toFixed(digits) + " s";
    }
    grid.setAttribute("d", lines);
  };

  Zoom.prototype.press = function (key) {
    var length = this.to - this.from, middle = (this.from + this.to) / 2;
    switch (key) {
      case "+": case "=": this.show(middle - length / 4, middle + length / 4); break;
      case "-": this.show(middle - length, middle + length); break;
      case "ArrowLeft": this.show(this.from - length / 4, this.to - length / 4); break;
      case "ArrowRight": this.show(this.from + length / 4, this.to + length / 4); break;
      case "0": this.show(0, 1); break;
      default: return false;
    }
    return true;
  };

  function zoomOf(drawing) {
    if (!drawing.zoom) drawing.zoom = new Zoom(drawing);
    return drawing.zoom;
  }

  // drag selects a part with the mouse; a touch is for scrolling.
  function drag(drawing, down) {
    var zoom = zoomOf(drawing), plot = zoom.plot, svg = plot.ownerSVGElement;
    function share(event) {
      var x = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      return Math.min(Math.max((x - zoom.left) / zoom.width, 0), 1);
    }
    var start = share(down), end = start, selection = null;
    function move(event) {
      end = share(event);
      var x0 = zoom.left + Math.min(start, end) * zoom.width, x1 = zoom.left + Math.max(start, end) * zoom.width;
      if (x1 - x0 < least) return;
      if (!selection) selection = add(plot, "rect", { class: "selection", y: plot.dataset.top, height: plot.dataset.bottom - plot.dataset.top });
      selection.setAttribute("x", x0);
      selection.setAttribute("width", x1 - x0);
    }
    function up() {
      document.removeEventListener("pointermove", move);
      document.removeEventListener("pointerup", up);
      if (!selection) return;
      selection.remove();
      var length = zoom.to - zoom.from;
      zoom.show(zoom.from + Math.min(start, end) * length, zoom.from + Math.max(start, end) * length);
    }
    document.addEventListener("pointermove", move);
    document.addEventListener("pointerup", up);
  }

  document.querySelectorAll(".tools.zoom").forEach(function (e) { e.hidden = false; });
  document.addEventListener("click", function (event) {
    var b = event.target.closest && event.target.closest("[data-zoom]");
    if (b) zoomOf(b.closest(".zoom").nextElementSibling).press(b.dataset.zoom);
  });
  document.addEventListener("keydown", function (event) {
    var e = event.target;
    if (!e.classList.contains("drawing") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (zoomOf(e).press(event.key)) event.preventDefault();
  });
  document.addEventListener("pointerdown", function (event) {
    var plot = event.target.closest && event.target.closest(".drawing");
    if (plot && event.pointerType === "mouse" && event.button === 0) drag(plot, event);
  });
  document.addEventListener("dblclick", function (event) {
    var drawing = event.target.closest && event.target.closest(".drawing");
    if (drawing) zoomOf(drawing).show(0, 1);
  });
})();
