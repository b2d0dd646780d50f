/**
 * Contenders take turns, round by round, in an order that changes, so that a busy moment of the machine hits all of them and a drift favours nobody. What counts
 * is the ratio within a round. A round may have several passes: what is compared most closely goes there and back, so that a drift within the round cancels out.
 */
import { median, type Summary, summarize } from "./statistics.ts";

/** What was measured of one contender in one round, by the metric's name. */
export type Sample = Readonly<Record<string, number>>;

export type Taken = ReadonlyMap<string, readonly Sample[]>;

type Measure<C> = (contender: C) => Promise<Sample>;

export async function takeTurns<C extends { readonly name: string }>(
  contenders: readonly C[],
  rounds: number,
  measure: Measure<C>,
  warmUps: number = 2,
): Promise<Taken> {
  return takePasses(contenders, rounds, [measure], warmUps);
}

/** Each pass is through all contenders, the other way round than the one before. What two passes measure counts as its mean. */
export async function takePasses<C extends { readonly name: string }>(
  contenders: readonly C[],
  rounds: number,
  passes: readonly Measure<C>[],
  warmUps: number = 2,
): Promise<Taken> {
  const taken = new Map(contenders.map(({ name }) => [name, [] as Sample[]]));
  // The first turns warm up code, connections and caches.
  for (let turn = 0; turn < warmUps; turn++) {
    for (const measure of new Set(passes)) {
      for (const contender of contenders) await measure(contender);
    }
  }
  for (let round = 0; round < rounds; round++) {
    const at = Math.floor(round / 2) % contenders.length;
    const rotated = [...contenders.slice(at), ...contenders.slice(0, at)];
    let order = round % 2 === 0 ? rotated : rotated.toReversed();
    const samples = new Map(contenders.map(({ name }) => [name, [] as Sample[]]));
    for (const measure of passes) {
      for (const contender of order) samples.get(contender.name)?.push(await measure(contender));
      order = order.toReversed();
    }
    for (const [name, all] of samples) taken.get(name)?.push(meanOf(all));
  }
  return taken;
}

/** Of each metric, over the samples that have it. */
function meanOf(samples: readonly Sample[]): Sample {
  const metrics = new Set(samples.flatMap((sample) => Object.keys(sample)));
  return Object.fromEntries(
    Array.from(metrics, (metric) => {
      const values = samples.flatMap((sample) => sample[metric] ?? []);
      return [metric, values.reduce((sum, value) => sum + value, 0) / values.length];
    }),
  );
}

/** A goal of the project as a ratio in one run, or as a bound where nobody else has a number to compare with. */
export type Target = {
  readonly text: string;
  readonly metric: string;
  readonly of: string;
  /** Undefined: the metric itself is bounded. */
  readonly to?: string;
  /** What is compared: the quotient unless this says the difference. */
  readonly by?: "difference";
  readonly most?: number;
  /** It is enough not to be worse than this contender. */
  readonly orNoWorseThan?: string;
  readonly least?: number;
};

export type TargetResult = {
  readonly text: string;
  readonly value: Summary;
  readonly isMet: boolean;
};

export type ContenderResult = {
  readonly name: string;
  readonly metrics: Readonly<Record<string, Summary>>;
};

export type ScenarioResult = {
  readonly scenario: string;
  readonly contenders: readonly ContenderResult[];
  readonly targets: readonly TargetResult[];
};

export function scenarioResult(
  scenario: string,
  taken: Taken,
  targets: readonly Target[],
): ScenarioResult {
  return {
    scenario,
    contenders: Array.from(taken, ([name, samples]) => ({
      name,
      metrics: Object.fromEntries(
        Object.keys(samples[0] ?? {}).map((metric) => [
          metric,
          summarize(samples.map((sample) => sample[metric] ?? Number.NaN)),
        ]),
      ),
    })),
    targets: targets.map((target) => judge(target, taken)),
  };
}

function judge(target: Target, taken: Taken): TargetResult {
  const { text, metric, of, to, by } = target;
  const values = series(taken, of, metric);
  const others = to === undefined ? undefined : series(taken, to, metric);
  const compared = values.map((value, at) => {
    const other = others?.[at];
    if (other === undefined) return value;
    return by === "difference" ? value - other : value / other;
  });
  const middle = median(compared);
  const isWithin =
    middle <= (target.most ?? Number.POSITIVE_INFINITY) &&
    middle >= (target.least ?? Number.NEGATIVE_INFINITY);
  return { text, value: summarize(compared), isMet: isWithin || isNoWorse(target, taken) };
}

function isNoWorse({ metric, of, orNoWorseThan }: Target, taken: Taken): boolean {
  if (orNoWorseThan === undefined) return false;
  const others = series(taken, orNoWorseThan, metric);
  return median(series(taken, of, metric).map((value, at) => value / (others[at] ?? 0))) <= 1;
}

function series(taken: Taken, name: string, metric: string): readonly number[] {
  const samples = taken.get(name);
  if (samples === undefined) throw new Error(`Name a contender instead of "${name}"`);
  return samples.map((sample) => sample[metric] ?? Number.NaN);
}
