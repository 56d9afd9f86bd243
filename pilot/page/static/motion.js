// Moves the dashes of all flows by one timer, five times a second, unless people asked for stillness.
const STEP_MS = 200, STEP = 3, PERIOD = 12;
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const pictures = document.querySelectorAll("svg.street .runs");

let timer = 0, offset = 0;

export function still() {
  clearInterval(timer);
  timer = 0;
}

export function run() {
  still();
  if (calm.matches || !pictures.length) return;
  timer = setInterval(() => {
    offset = (offset - STEP + PERIOD) % PERIOD;
    for (const picture of pictures) picture.style.strokeDashoffset = offset;
  }, STEP_MS);
}

calm.addEventListener("change", run);
