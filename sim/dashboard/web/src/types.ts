// What the server sends: the types of sim/observe as JSON. A Go test holds the names together.

export interface Hello {
  control: boolean;
  samples: Sample[];
  snapshot: Snapshot;
}

export interface Snapshot {
  seq: number;
  time: string;
  cluster: string;
  owner: string;
  started: string;
  nodes: Node[];
  leaders: Leader[];
  vnodes: VNode[];
  vnodes_total: number;
  links: Link[];
  owns: Own[];
  moves: Move[];
  faults: Fault[];
  totals: Sample;
  events: Event[]; // in a hello all that are remembered, later what is new
  warnings: string[];
}

export type State = "up" | "starting" | "draining" | "cut_off" | "paused" | "silent" | "dead";

export interface Node {
  id: string;
  role: "manager" | "pcomponent" | "mcomponent" | "scomponent";
  state: State;
  why?: string;
  since: string;
  addr: string;
  http?: string;
  pid: number;
  rack?: string;
  epoch: number;
  leads?: string[];
  load?: Load;
}

export interface Load {
  processors: number;
  busy_cores: number;
  in_bytes_per_second: number;
  out_bytes_per_second: number;
  capacity_bytes: number;
  used_bytes: number;
  reserved_bytes: number;
  ops_per_second: number;
  faults_per_second: number;
  hit_ratio: number | null;
  fault_p50_seconds: number | null;
  fault_p99_seconds: number | null;
  queue: number;
  queue_delay_seconds: number;
  processes: number;
}

export interface Leader {
  manager: string;
  node: string;
  term: number;
  since: string;
  changes: number;
}

export interface VNode {
  pid: number;
  name: string;
  phase: string;
  state?: string;
  error?: string;
  on: string;
  home?: string;
  threads: number;
  references: number;
  references_per_second: number;
  steps: number;
  steps_total: number;
  left_seconds: number | null;
  hits: number;
  block_requests: number;
  vregions: number;
  volumes: number;
  lost?: string[];
}

export interface Link {
  from: string;
  to: string;
  bytes_per_second: number;
}

export interface Own {
  pid: number;
  node: string;
  process?: boolean;
  home?: boolean;
  vregions?: number;
  copies?: number;
  buffer_caches?: number;
  volumes?: number;
}

export interface Move {
  manager: string;
  move: number;
  what: string;
  from: string;
  to: string;
  state: string;
  cause: string;
  begun: string;
  ended?: string;
  pause_us: number;
}

export interface Fault {
  id: number;
  fault: string;
  kind: string;
  nodes: string[];
  began: string;
  ended?: string;
  what: string;
}

export interface Event {
  seq: number;
  time: string;
  source: string;
  kind: string;
  node?: string;
  pid?: number;
  mark?: "fault" | "move" | "leader" | "down" | "up";
  text: string;
}

export interface Sample {
  time: string;
  hit_ratio: number | null;
  accesses_per_second: number;
  faults_per_second: number;
  fault_p50_seconds: number | null;
  fault_p99_seconds: number | null;
  link_bytes_per_second: number;
  block_requests_per_second: number;
  processors: number;
  busy_cores: number;
  excache_capacity_bytes: number;
  excache_used_bytes: number;
  memory_capacity_bytes: number;
  memory_used_bytes: number;
  storage_capacity_bytes: number;
  storage_used_bytes: number;
  queue: number;
  queue_delay: number;
  leader_changes: number;
  moving: number;
  vnodes: number;
  nodes: number;
  nodes_well: number;
}
