// Samples over time in columns of fixed length: the oldest give way, so a page that is left open does not grow.

export class Ring {
  private readonly columns: Float64Array[];
  private next = 0;
  private filled = 0;

  /** A ring of `width` columns for the last `length` rows. NaN is a value that is not known. */
  constructor(
    width: number,
    readonly length: number,
  ) {
    this.columns = Array.from({ length: width }, () => new Float64Array(length));
  }

  get size(): number {
    return this.filled;
  }

  clear(): void {
    this.next = 0;
    this.filled = 0;
  }

  push(row: number[]): void {
    this.columns.forEach((c, i) => (c[this.next] = row[i] ?? NaN));
    this.next = (this.next + 1) % this.length;
    this.filled = Math.min(this.filled + 1, this.length);
  }

  /** column gives one column, oldest first, with null for what is not known. */
  column(i: number): (number | null)[] {
    const c = this.columns[i]!;
    const first = (this.next - this.filled + this.length) % this.length;
    return Array.from({ length: this.filled }, (_, k) => {
      const v = c[(first + k) % this.length]!;
      return Number.isNaN(v) ? null : v;
    });
  }
}
