"use strict";
const get = id => document.getElementById(id);
const unpack = text => Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer;
const signed = d => d > 0 ? "+" + d : d < 0 ? "−" + -d : "0";

function element(parent, tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  parent.append(made);
  return made;
}

// Colours

let style, ramp;
const colour = name => style.getPropertyValue("--" + name).trim();

function gradient(hexes) {                             // 256 colours from the first to the last
  const stops = hexes.map(hex => [1, 3, 5].map(i => parseInt(hex.trim().slice(i, i + 2), 16)));
  return Array.from({ length: 256 }, (_, i) => {
    const at = i / 255 * (stops.length - 1), low = Math.min(at | 0, stops.length - 2);
    return stops[low].map((c, k) => Math.round(c + (stops[low + 1][k] - c) * (at - low)));
  });
}

function readTheme() {
  style = getComputedStyle(document.documentElement);
  ramp = gradient(colour("ramp").split(","));
}

