// The payer's page: what happens is shown at once, time runs down, wallets in the browser are offered.
import "../copy.js";
import { follow } from "./live.js";
import { wallets } from "./wallet.js";

function clock() {
  const at = document.querySelector(".clock");
  if (!at) return;
  const ends = performance.now() + 1000 * Number(at.dataset.seconds);
  at.hidden = false;
  const timer = setInterval(show, 1000);
  function show() {
    if (!at.isConnected) return clearInterval(timer);
    const seconds = Math.max(0, Math.round((ends - performance.now()) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    const hours = Math.floor(seconds / 3600);
    at.textContent = `${hours ? `${hours}:` : ""}${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  }
  show();
}

function begin() {
  clock();
  wallets();
}

begin();
follow(begin);
