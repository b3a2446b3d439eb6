// Numbers as people read them.
const UNITS = [["y", 31536e6], ["d", 864e5], ["h", 36e5], ["m", 6e4], ["s", 1e3]];

export function age(ms) {
  if (ms === null || ms === undefined) return "-";
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const at = UNITS.findIndex(([, size]) => ms >= size);
  const [unit, size] = UNITS[at];
  const rest = UNITS[at + 1];
  const more = rest ? Math.floor((ms % size) / rest[1]) : 0;
  return `${Math.floor(ms / size)}${unit}${more ? ` ${more}${rest[0]}` : ""}`;
}

const timeOf = (id) => {
  const ms = Number(id.split("-")[0]);
  return ms >= 1e12 && ms < 1e13 ? ms : null;
};

// Ids that were made by hand hold no time.
export const ago = (id, now) => (timeOf(id) === null ? "-" : `${age(now - timeOf(id))} ago`);
export const moment = (id) => (timeOf(id) === null ? "" : new Date(timeOf(id)).toLocaleString());

export const count = (number) => (number === null || number === undefined ? "-" : Math.round(number).toLocaleString("en"));

export function rate(number) {
  if (number === null || number === undefined) return "-";
  return `${number >= 10 || number === 0 ? count(number) : number.toFixed(1)}/s`;
}

export function micros(number) {
  if (number === null || number === undefined) return "-";
  if (number < 1000) return `${Math.round(number)} µs`;
  return number < 1e6 ? `${(number / 1000).toFixed(1)} ms` : `${(number / 1e6).toFixed(1)} s`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "-";
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (number < 1024) return `${unit === "B" ? number : number.toFixed(1)} ${unit}`;
    number /= 1024;
  }
  return `${number.toFixed(1)} TiB`;
}
