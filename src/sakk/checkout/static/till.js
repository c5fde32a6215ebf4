// The till's page: when it is paid the phone sounds and shakes, so that nobody has to look.
import { follow } from "./live.js";

const TONES = [660, 880, 1320];

function sound() {
  navigator.vibrate?.([80, 60, 160]);
  const context = new AudioContext();
  TONES.forEach((frequency, number) => {
    const tone = context.createOscillator();
    const volume = context.createGain();
    const begins = context.currentTime + number * 0.14;
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0.25, begins);
    volume.gain.exponentialRampToValueAtTime(0.001, begins + 0.3);
    tone.connect(volume).connect(context.destination);
    tone.start(begins);
    tone.stop(begins + 0.3);
  });
}

follow((at, before) => {
  if (at.dataset.ended && at.dataset.stand !== "canceled" && at.dataset.stand !== before) sound();
});
