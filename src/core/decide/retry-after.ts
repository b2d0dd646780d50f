/** Retry-After (RFC 9110 §10.2.3): how long the sender wants to be left alone, in seconds or as a date. */

const delaySeconds = /^[0-9]{1,15}$/;

/**
 * Milliseconds from now, 0 when the time is over. Undefined: not one of the forms of the standard. `nowMs` is the time since 1970, since dates are told in it.
 */
export function retryAfterMs(value: string, nowMs: number): number | undefined {
  if (delaySeconds.test(value)) return Number(value) * 1_000;
  const date = parseHttpDate(value, nowMs);
  return date === undefined ? undefined : Math.max(date - nowMs, 0);
}

const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
const month = `(${months.replaceAll(" ", "|")})`;
const time = "([0-9]{2}):([0-9]{2}):([0-9]{2})";
const shortDay = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const longDay = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day";

/** `Sun, 06 Nov 1994 08:49:37 GMT` */
const fixed = new RegExp(`^${shortDay}, ([0-9]{2}) ${month} ([0-9]{4}) ${time} GMT$`);
/** `Sunday, 06-Nov-94 08:49:37 GMT` */
const rfc850 = new RegExp(`^${longDay}, ([0-9]{2})-${month}-([0-9]{2}) ${time} GMT$`);
/** `Sun Nov  6 08:49:37 1994` */
const asctime = new RegExp(`^${shortDay} ${month} ([0-9 ][0-9]) ${time} ([0-9]{4})$`);

/** RFC 9110 §5.6.7: a recipient reads all three forms, and names of months and days as they are written. */
export function parseHttpDate(text: string, nowMs: number): number | undefined {
  const modern = fixed.exec(text);
  if (modern !== null) {
    const [, day, name, year, ...clock] = modern;
    return toMs([Number(year), monthNumber(name), Number(day)], clock);
  }
  const old = rfc850.exec(text);
  if (old !== null) {
    const [, day, name, year, ...clock] = old;
    return toMs([fullYear(Number(year), nowMs), monthNumber(name), Number(day)], clock);
  }
  const [, name, day, hour = "", minute = "", second = "", year] = asctime.exec(text) ?? [];
  if (name === undefined) return undefined;
  return toMs([Number(year), monthNumber(name), Number(day)], [hour, minute, second]);
}

/** 1 to 12. */
function monthNumber(name: string | undefined): number {
  return months.indexOf(name ?? "") / 4 + 1;
}

const dayMs = 86_400_000;

/** RFC 9110 §5.6.7: a year of two digits that would be more than 50 years ahead is the last one in the past with these digits. */
function fullYear(digits: number, nowMs: number): number {
  const thisYear = 1970 + Math.floor(nowMs / (365.2425 * dayMs));
  const year = thisYear - (thisYear % 100) + digits;
  return year > thisYear + 50 ? year - 100 : year;
}

function toMs(
  [year, monthOfYear, day]: readonly [number, number, number],
  clock: readonly string[],
): number | undefined {
  const [hour = 0, minute = 0, second = 0] = clock.map(Number);
  const lastDay = daysBefore(...nextMonth(year, monthOfYear)) - daysBefore(year, monthOfYear);
  // 60 is a leap second.
  if (day < 1 || day > lastDay || hour > 23 || minute > 59 || second > 60) return undefined;
  const seconds = hour * 3_600 + minute * 60 + second;
  return (daysBefore(year, monthOfYear) + day - 1) * dayMs + seconds * 1_000;
}

function nextMonth(year: number, monthOfYear: number): readonly [number, number] {
  return monthOfYear === 12 ? [year + 1, 1] : [year, monthOfYear + 1];
}

/** Days from 1970 to the first of a month in the Gregorian calendar. Years are counted from March, so that the leap day comes last. */
function daysBefore(year: number, monthOfYear: number): number {
  const years = monthOfYear > 2 ? year : year - 1;
  const monthsFromMarch = (monthOfYear + 9) % 12;
  const leapDays = Math.floor(years / 4) - Math.floor(years / 100) + Math.floor(years / 400);
  // 719,468 days lie between 1 March of the year 0 and 1 January 1970.
  return years * 365 + leapDays + Math.floor((153 * monthsFromMarch + 2) / 5) - 719_468;
}
