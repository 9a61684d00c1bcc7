/** Names of labels to their values; one that is null is left out. */
export type Labels = Readonly<Record<string, string | null>>;

type Kind = 'gauge' | 'counter';

interface Family {
  readonly name: string;
  readonly help: string;
  readonly kind: Kind | 'histogram';
  /** What stands before the value -> the value, in the order in which it came. */
  readonly samples: Map<string, number>;
}

/** Counts that were made elsewhere, bucket by bucket. */
export interface Distribution {
  /** Upper ends of the buckets, ascending. */
  readonly bounds: readonly number[];
  /** One for each bound, and one for what is above all of them. */
  readonly counts: readonly number[];
  readonly sum: number;
}

/**
 * Metrics in the text format of Prometheus, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Everything is told anew at each
 * scrape, from what the daemon knows then.
 */
export class Exposition {
  readonly #families: Family[] = [];

  /**
   * Begins a metric.
   * @returns what adds a sample to it; two with the same labels are added up, and null is no sample
   */
  metric(kind: Kind, name: string, help: string): (labels: Labels, value: number | null) => void {
    const samples = this.#family(kind, name, help);
    return (labels, value) => {
      if (value !== null) addUp(samples, name, labels, value);
    };
  }

  /** Begins a histogram. @returns what adds one of its distributions, with their labels */
  histogram(name: string, help: string): (labels: Labels, distribution: Distribution) => void {
    const samples = this.#family('histogram', name, help);
    return (labels, { bounds, counts, sum }) => {
      let cumulative = 0;
      for (const [index, count] of counts.entries()) {
        cumulative += count;
        const le = bounds[index];
        const upTo = { ...labels, le: le === undefined ? '+Inf' : String(le) };
        addUp(samples, `${name}_bucket`, upTo, cumulative);
      }
      addUp(samples, `${name}_sum`, labels, sum);
      addUp(samples, `${name}_count`, labels, cumulative);
    };
  }

  /** Metrics without a sample are left out. */
  toString(): string {
    return this.#families
      .filter(({ samples }) => samples.size > 0)
      .map(({ name, help, kind, samples }) => {
        const lines = [...samples].map(([sample, value]) => `${sample} ${value}\n`);
        return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join('')}`;
      })
      .join('');
  }

  #family(kind: Family['kind'], name: string, help: string): Map<string, number> {
    const samples = new Map<string, number>();
    this.#families.push({ name, help, kind, samples });
    return samples;
  }
}

/** A sample twice makes a whole scrape unreadable. */
function addUp(samples: Map<string, number>, name: string, labels: Labels, value: number): void {
  const pairs = Object.entries(labels).flatMap(([label, text]) =>
    text === null ? [] : [`${label}="${escaped(text)}"`],
  );
  const sample = pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
  samples.set(sample, (samples.get(sample) ?? 0) + value);
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
