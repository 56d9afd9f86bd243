// Ages in words. The twin of wording.age in pilot/page/wording.py: both are held to tests/page/ages.json.
const STEPS = [[1, "s", 120], [60, "min", 7200], [3600, "h", 172800], [86400, "days", Infinity]];

export function age(seconds) {
  if (seconds < 1) return "now";
  const [size, unit] = STEPS.find(([, , below]) => seconds < below);
  return `${Math.floor(seconds / size)}\u00a0${unit} ago`;
}
