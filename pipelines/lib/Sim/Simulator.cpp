//===- Simulator.cpp - Discrete events over a schedule
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// A worker takes the entries of its queue one after another: it takes an entry, waits for its
// events, reads what the prologue needs, runs the tiles, signals. Beside it a producer fills a ring
// in LDS with the weights of its tiles, in the same order, across entries if `prefetch` is on.

#include "fleet/Sim/Simulator.h"

#include "Pipes.h"

#include "fleet/Conversion/ManyRows.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <deque>
#include <limits>

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;

namespace {
constexpr double kNever = std::numeric_limits<double>::infinity();

/// What happens at a time.
enum class Kind : uint8_t {
  Step,         ///< a worker goes on
  Transfer,     ///< a stream's next transfer may begin
  Round,        ///< a worker may read its next round
  FreeSlot,     ///< a slot of a worker's ring is empty again
  ArriveLocal,  ///< an arrival at the counter of (task, chiplet)
  ArriveDevice, ///< an arrival at the counter of a task
  EventDone,    ///< the counter of a task or of (task, chiplet) has its value
  Schedule,     ///< a chiplet's scheduler goes on
};
struct Event {
  double time;
  uint64_t order;
  Kind kind;
  uint32_t what;
  bool operator>(const Event &other) const { return std::tie(time, order) > std::tie(other.time, other.order); }
};

/// Bytes on their way to a worker: into its ring, or what it reads otherwise.
struct Chunk {
  double ready; ///< when the first of them can be there
  double whole; ///< when the last of them can be there
  Bytes left;
  int64_t bytes;
  uint32_t cuTask;
  uint32_t piece; ///< place in the entry
};
struct Stream {
  std::deque<Chunk> chunks;
  bool isMoving = false;
};

struct Worker {
  enum Stage { Take, Wait, Run, PrologueDone, BeginPiece, EndPiece, Done, Finished } stage = Take;
  uint32_t at = 0; ///< place in its queue
  uint32_t piece = 0;
  double ready = 0; ///< when what it waited for is seen
  int64_t cause = -1;
  After after = After::Nothing;
  uint32_t pending = 0;
  // The pieces that run.
  uint32_t pieces = 1;
  int64_t weightsLeft = 0, ringBytes = 0; ///< what comes through the ring: still to come, in all
  double chain = 0, demandBegan = 0, demandEnd = 0, cost = 0;
  bool isReading = false, isEnding = false;
  // Their rounds: how many, of which so many are asked for, there since when, and used.
  int64_t rounds = 0, asked = 0, used = 0;
  std::vector<double> there;
  Bytes roundBytes{};
  double turnCost = 0; ///< what a turn uses a round for, beside its part of the chain
  double ownReads = 0; ///< of each tile alone, behind its sums
  // The ring: what was fetched and not yet used, and what to fetch next.
  struct Arrived {
    double time;
    int64_t bytes;
    uint32_t cuTask, piece;
  };
  std::deque<Arrived> arrived;
  int64_t slots = 0;
  uint32_t begun = 0; ///< entries whose weights may be fetched without prefetch
  uint32_t fetchAt = 0, fetchPiece = 0, fetchAccess = 0;
  int64_t fetchRun = 0, fetchByte = 0;
};

struct Counter {
  int64_t expected = 0, arrived = 0;
  double free = 0;
};

struct Job {
  uint32_t task;
  std::vector<uint32_t> cuTasks;
};

class Engine {
public:
  Engine(const Schedule &schedule, const Options &options, Memory &memory, Result &result)
      : s(schedule), o(options), p(options.parameters), memory(memory), result(result),
        pipes(schedule.chiplets, schedule.hbmGbs, options.parameters), workers(schedule.queues.size()),
        streams(2 * workers.size()), records(schedule.cuTasks.size()) {}
  bool run(std::string &error);

private:
  void at(double time, Kind kind, uint32_t what) { events.push({time, order++, kind, what}); }
  const CuTask &entry(const Worker &w) const { return s.cuTasks[queueOf(w)[w.at]]; }
  const std::vector<uint32_t> &queueOf(const Worker &w) const { return s.queues[&w - workers.data()]; }
  int64_t chipletOf(uint32_t worker) const { return worker / s.workers; }
  uint32_t cuOf(const Worker &w) const { return queueOf(w)[w.at]; }
  const Work &tileOf(uint32_t cuTask, uint32_t piece) const {
    const DeviceTask &task = s.tasks[s.cuTasks[cuTask].task];
    return s.bodies[task.body].tiles[s.cuTasks[cuTask].pieces[piece] / task.rowParts];
  }

  void step(uint32_t worker, double now);
  void wait(uint32_t worker, double now);
  void finish(uint32_t worker, double now);
  void advance(uint32_t worker, double now);
  bool demand(uint32_t worker, double now, const Work &work, uint32_t part, uint32_t parts);
  void beginRounds(uint32_t worker, double now, const Rounds &rounds);
  void askRound(uint32_t worker, double now);
  const Rounds &roundsOf(const Worker &w) const { return s.bodies[s.tasks[entry(w).task].body].rounds; }
  bool useRound(uint32_t worker, int64_t done, int64_t of);
  void store(uint32_t worker, const Work &work, uint32_t part, uint32_t parts);
  double costOf(const Work &work, uint32_t part, uint32_t parts, const Rounds &rounds = {}) const;
  /// Whether weights are fetched before the entry that uses them runs.
  bool fetchesAhead() const { return o.prefetch && !o.deal.isDynamic; }
  /// Whether `access` of a tile comes through the ring.
  bool isOfRing(const Access &access, const DeviceTask &task) const {
    return access.isWeight || (access.isStreamed && !fetchesAhead() && task.rowParts == 1);
  }
  int64_t ringBytesOf(const Work &work, const DeviceTask &task) const {
    return work.weightBytes + (fetchesAhead() || task.rowParts != 1 ? 0 : work.streamedBytes);
  }
  bool nextWeights(Worker &w) const;
  void fetch(uint32_t worker, double now);
  void enqueue(uint32_t stream, const Chunk &chunk, double now);
  void move(uint32_t stream, double now);
  void transferred(uint32_t stream, double now);
  /// Calls `visit` with the place of each event that `task` waits for on `chiplet`, and its scope.
  template <typename Visit> void forWaits(const DeviceTask &task, int64_t chiplet, Visit visit) const {
    for (uint32_t wait : task.waits)
      visit(wait, After::Event);
    for (uint32_t wait : task.chipletWaits)
      visit(s.tasks.size() + wait * s.chiplets + chiplet, After::ChipletEvent);
  }
  /// An event of the own chiplet leaves its L2 as it is.
  double acquireOf(const DeviceTask &task) const { return task.waits.empty() ? 0 : p.acquireNs; }
  double release(int64_t chiplet, double now);
  void arriveLocal(uint32_t cuTask, double now);
  void arriveDevice(uint32_t cuTask, double now);
  void eventDone(uint32_t task, double now);
  void wake(uint32_t who, double seen, uint32_t cause, After after);
  uint64_t addressOf(uint32_t worker, const CuTask &cu, const Access &access) const {
    const DeviceTask &task = s.tasks[cu.task];
    return task.operands[access.operand] + chipletOf(worker) * task.strides[access.operand] + access.offset;
  }
  void dispatch(int64_t chiplet, double now);
  /// Takes note of when and why a scheduler lets the worker run.
  void takeRelease(Worker &w) {
    w.ready = released[cuOf(w)];
    std::tie(w.cause, w.after) = releasedBy[cuOf(w)];
  }
  double latencyOf(const Bytes &bytes) const { return bytes[kHbm] ? p.hbmNs : bytes[kMall] ? p.mallNs : p.l2Ns; }
  /// How long loads of these bytes take if nothing but their latency holds them up.
  double roundsOf(const Bytes &bytes) const {
    return (bytes[kL2] * p.l2Ns + bytes[kMall] * p.mallNs + bytes[kHbm] * p.hbmNs) / p.loadBytes;
  }
  void collect(double end);

  const Schedule &s;
  const Options &o;
  const Parameters &p;
  Memory &memory;
  Result &result;
  Pipes pipes;
  std::priority_queue<Event, std::vector<Event>, std::greater<Event>> events;
  uint64_t order = 0;
  std::vector<Worker> workers;
  std::vector<Stream> streams; ///< 2 * worker: ring, 2 * worker + 1: the rest
  std::vector<CuRecord> records;
  std::vector<Counter> local, device;
  std::vector<double> releasedAt; ///< of each chiplet: its last write back
  // Of each task, then of each (task, chiplet): when a poll sees that it is complete, who arrived
  // last, and who waits for it (workers; schedulers of chiplets from workers.size() on).
  std::vector<double> seen;
  std::vector<uint32_t> lastArrival;
  std::vector<std::vector<uint32_t>> waiting;
  std::vector<double> fetchBegin, fetchEnd;
  int64_t ringSlots = 1;
  // Dynamic scheduling.
  std::vector<std::vector<Job>> jobs;
  std::vector<size_t> jobAt;
  std::vector<uint32_t> jobPending;
  std::vector<double> jobReady, released;
  std::vector<std::pair<int64_t, After>> jobCause;
  std::vector<std::pair<int64_t, After>> releasedBy;
};
} // namespace

/// The runs of `access` that belong to part `part` of `parts` of the rows.
static std::pair<int64_t, int64_t> runsOf(const Access &access, uint32_t part, uint32_t parts) {
  if (!access.isOfRows || parts == 1)
    return {0, access.count};
  return {access.count * part / parts, access.count * (part + 1) / parts};
}

double Engine::costOf(const Work &work, uint32_t part, uint32_t parts, const Rounds &rounds) const {
  double matrix = 0;
  for (const Contraction &c : work.contractions) {
    int64_t m = parts == 1 ? c.m : std::clamp<int64_t>(c.m - part * o.deal.rowTile, 0, o.deal.rowTile);
    double padded = p.matrixRows > 0 ? std::ceil(m / p.matrixRows) * p.matrixRows : m;
    matrix += 2.0 * padded * c.n * c.k / p.matrixGflops;
    result.flops += 2.0 * m * c.n * c.k;
  }
  double lds = p.ldsGbs > 0 ? rounds.readers * work.weightBytes / p.ldsGbs : 0;
  // The turns' warpgroups have slots of their own, and take them at the same time.
  if (rounds.blocks)
    lds = double(work.weightBytes) / nv::kSlot / rounds.turns * p.warpgroupSlotNs;
  double share = parts == 1 ? 1 : 1.0 / parts;
  return std::max(matrix, lds) + work.vectorOps * share / p.vectorGops + work.reductions * p.reductionNs;
}

/// Begins to read what `work` reads beside weights; false if it reads nothing.
bool Engine::demand(uint32_t worker, double now, const Work &work, uint32_t part, uint32_t parts) {
  const CuTask &cu = entry(workers[worker]);
  Chunk chunk{0, 0, {}, 0, cuOf(workers[worker]), 0};
  bool isAny = false;
  for (const Access &access : work.accesses) {
    if (access.writes || isOfRing(access, s.tasks[cu.task]))
      continue;
    auto [lo, hi] = runsOf(access, part, parts);
    for (int64_t i = lo; i < hi; ++i)
      memory.read(chipletOf(worker), addressOf(worker, cu, access) + i * access.stride, access.bytes, chunk.left);
    isAny |= lo < hi;
  }
  if (!isAny)
    return false;
  chunk.ready = now + latencyOf(chunk.left);
  // Loads go out in rounds of what can be in flight.
  chunk.whole = p.loadBytes > 0 ? now + roundsOf(chunk.left) : 0;
  enqueue(2 * worker + 1, chunk, now);
  return true;
}

static bool isSame(const Access &a, const Access &b) {
  return std::tie(a.operand, a.offset, a.bytes, a.count, a.stride) ==
         std::tie(b.operand, b.offset, b.bytes, b.count, b.stride);
}

/// Begins to read what the pieces of `worker` have in common, in rounds.
void Engine::beginRounds(uint32_t worker, double now, const Rounds &rounds) {
  Worker &w = workers[worker];
  const CuTask &cu = entry(w);
  const Work &first = tileOf(cuOf(w), w.piece);
  w.roundBytes = {};
  w.ownReads = 0;
  // The left side of a contraction is the same for all tiles of its body; what is not is the tile's own.
  const std::vector<Work> &all = s.bodies[s.tasks[cu.task].body].tiles;
  const Work &other = &all.front() == &first ? all.back() : all.front();
  for (uint32_t i = 0; i < w.pieces; ++i) {
    Bytes own{};
    for (const Access &access : tileOf(cuOf(w), w.piece + i).accesses) {
      if (access.writes || isOfRing(access, s.tasks[cu.task]))
        continue;
      auto isRead = [&](const Access &it) { return !it.writes && isSame(it, access); };
      bool isCommon = first.contractions.empty() || llvm::any_of(other.accesses, isRead);
      if (isCommon && i)
        continue;
      for (int64_t run = 0; run < access.count; ++run)
        memory.read(chipletOf(worker), addressOf(worker, cu, access) + run * access.stride, access.bytes,
                    isCommon ? w.roundBytes : own);
    }
    if (llvm::any_of(own, [](int64_t bytes) { return bytes > 0; }))
      w.ownReads += latencyOf(own);
  }
  w.rounds = rounds.count;
  w.turnCost = (std::min(rounds.turns, rounds.count) - 1) * w.cost / rounds.count;
  w.asked = w.used = 0;
  w.there.clear();
  w.isReading = true;
  for (int64_t i = 0; i < rounds.turns * (1 + rounds.ahead); ++i)
    askRound(worker, now);
}

/// Reads the worker's next round, if there is one.
void Engine::askRound(uint32_t worker, double now) {
  Worker &w = workers[worker];
  if (w.asked == w.rounds)
    return;
  Chunk chunk{0, 0, {}, 0, cuOf(w), 0};
  for (int level = 0; level < kLevels; ++level)
    chunk.left[level] = w.roundBytes[level] * (w.asked + 1) / w.rounds - w.roundBytes[level] * w.asked / w.rounds;
  ++w.asked;
  const Rounds &rounds = roundsOf(w);
  double ofPositions = rounds.ofFewRows ? p.fewPositionsNs : rounds.isCopied ? p.copiedPositionsNs : p.positionsNs;
  double ofChunk = rounds.blocks ? 0 : p.roundNs; // part of what a warpgroup's slot costs
  chunk.ready = now + latencyOf(chunk.left) + (w.ringBytes ? ofChunk : ofPositions) * rounds.share;
  enqueue(2 * worker + 1, chunk, now);
}

void Engine::store(uint32_t worker, const Work &work, uint32_t part, uint32_t parts) {
  const CuTask &cu = entry(workers[worker]);
  for (const Access &access : work.accesses) {
    if (!access.writes)
      continue;
    auto [lo, hi] = runsOf(access, part, parts);
    for (int64_t i = lo; i < hi; ++i)
      memory.write(chipletOf(worker), addressOf(worker, cu, access) + i * access.stride, access.bytes);
  }
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

/// Puts the producer of `w` before the next weights that it may fetch; false if there are none.
bool Engine::nextWeights(Worker &w) const {
  const auto &queue = queueOf(w);
  while (w.fetchAt < queue.size()) {
    if (w.fetchAt >= w.begun && !fetchesAhead())
      return false;
    const CuTask &cu = s.cuTasks[queue[w.fetchAt]];
    const DeviceTask &task = s.tasks[cu.task];
    for (; w.fetchPiece < cu.pieces.size(); ++w.fetchPiece, w.fetchAccess = 0) {
      const auto &accesses = tileOf(queue[w.fetchAt], w.fetchPiece).accesses;
      for (; w.fetchAccess < accesses.size(); ++w.fetchAccess)
        if (isOfRing(accesses[w.fetchAccess], task))
          return true;
    }
    ++w.fetchAt;
    w.fetchPiece = w.fetchAccess = 0;
  }
  return false;
}

/// Fetches weights while the ring has room.
void Engine::fetch(uint32_t worker, double now) {
  Worker &w = workers[worker];
  while (w.slots < ringSlots && nextWeights(w)) {
    uint32_t cuTask = queueOf(w)[w.fetchAt], piece = w.fetchPiece;
    const CuTask &cu = s.cuTasks[cuTask];
    const auto &accesses = tileOf(cuTask, piece).accesses;
    Chunk chunk{0, 0, {}, 0, cuTask, piece};
    int64_t room = std::max<int64_t>(kLine, p.slotBytes);
    // A slot holds weights of one piece.
    for (; w.fetchAccess < accesses.size() && room > 0; ++w.fetchAccess) {
      const Access &access = accesses[w.fetchAccess];
      if (!isOfRing(access, s.tasks[cu.task]))
        continue;
      uint64_t base = addressOf(worker, cu, access);
      while (w.fetchRun < access.count && room > 0) {
        int64_t bytes = std::min(room, access.bytes - w.fetchByte);
        memory.read(chipletOf(worker), base + w.fetchRun * access.stride + w.fetchByte, bytes, chunk.left);
        chunk.bytes += bytes;
        room -= bytes;
        w.fetchByte += bytes;
        if (w.fetchByte == access.bytes) {
          w.fetchByte = 0;
          ++w.fetchRun;
        }
      }
      if (w.fetchRun < access.count)
        break;
      w.fetchRun = 0;
    }
    chunk.ready = now + latencyOf(chunk.left);
    ++w.slots;
    fetchBegin[cuTask] = std::min(fetchBegin[cuTask], now);
    enqueue(2 * worker, chunk, now);
  }
}

void Engine::enqueue(uint32_t stream, const Chunk &chunk, double now) {
  streams[stream].chunks.push_back(chunk);
  if (!streams[stream].isMoving)
    move(stream, now);
}

/// Begins the stream's next transfer, now or when its first bytes can be there.
void Engine::move(uint32_t stream, double now) {
  Stream &of = streams[stream];
  of.isMoving = !of.chunks.empty();
  if (!of.isMoving)
    return;
  Chunk &chunk = of.chunks.front();
  if (chunk.ready > now)
    return at(chunk.ready, Kind::Transfer, stream);
  for (int level = 0; level < kLevels; ++level)
    if (chunk.left[level]) {
      pipes.start(now, stream, chipletOf(stream / 2), static_cast<Level>(level), chunk.left[level]);
      chunk.left[level] = 0;
      return;
    }
  transferred(stream, now);
}

/// A transfer of `stream` has ended: its bytes from other levels follow, then the next chunk.
void Engine::transferred(uint32_t stream, double now) {
  Stream &of = streams[stream];
  if (llvm::any_of(of.chunks.front().left, [](int64_t bytes) { return bytes > 0; }))
    return move(stream, now);
  if (of.chunks.front().whole > now)
    return at(of.chunks.front().whole, Kind::Transfer, stream);
  Chunk chunk = of.chunks.front();
  of.chunks.pop_front();
  uint32_t worker = stream / 2;
  Worker &w = workers[worker];
  if (stream % 2) {
    w.demandEnd = now;
    if (w.rounds)
      w.there.push_back(now);
    w.isReading = static_cast<int64_t>(w.there.size()) < w.rounds;
    if (w.stage == Worker::PrologueDone) {
      records[cuOf(w)].activations += now - w.demandBegan;
      const Body &body = s.bodies[s.tasks[entry(w).task].body];
      w.stage = Worker::BeginPiece;
      at(now + costOf(body.prologue, 0, 1), Kind::Step, worker);
    } else {
      advance(worker, now);
    }
  } else {
    fetchEnd[chunk.cuTask] = now;
    w.arrived.push_back({now, chunk.bytes, chunk.cuTask, chunk.piece});
    if (w.stage == Worker::EndPiece)
      advance(worker, now);
  }
  move(stream, now);
}

//===----------------------------------------------------------------------===//
// Workers
//===----------------------------------------------------------------------===//

void Engine::step(uint32_t worker, double now) {
  Worker &w = workers[worker];
  switch (w.stage) {
  case Worker::Take: {
    if (w.at == queueOf(w).size()) {
      w.stage = Worker::Finished;
      return;
    }
    records[cuOf(w)].taken = now;
    w.stage = Worker::Wait;
    fetch(worker, now);
    at(now + (o.deal.isDynamic ? 0 : p.dispatchNs), Kind::Step, worker);
    return;
  }
  case Worker::Wait:
    return wait(worker, now);
  case Worker::Run: {
    CuRecord &record = records[cuOf(w)];
    record.runs = now;
    if (w.ready > record.waits) {
      record.cause = w.cause;
      record.after = w.cause < 0 ? After::Nothing : w.after;
    } else if (w.at) {
      record.cause = queueOf(w)[w.at - 1];
      record.after = After::Queue;
    }
    ++result.tasksRun;
    w.piece = 0;
    w.begun = w.at + 1;
    w.stage = Worker::PrologueDone;
    fetch(worker, now);
    const Work &prologue = s.bodies[s.tasks[entry(w).task].body].prologue;
    w.demandBegan = now;
    if (demand(worker, now, prologue, 0, 1))
      return;
    w.stage = Worker::BeginPiece;
    at(now + costOf(prologue, 0, 1), Kind::Step, worker);
    return;
  }
  case Worker::BeginPiece: {
    const DeviceTask &task = s.tasks[entry(w).task];
    uint32_t part = entry(w).pieces[w.piece] % task.rowParts;
    const Rounds &rounds = roundsOf(w);
    bool goesInRounds = rounds.count && task.rowParts == 1;
    int64_t most = goesInRounds ? rounds.together : 1;
    w.pieces = std::min<int64_t>(most, entry(w).pieces.size() - w.piece);
    w.ringBytes = 0;
    w.cost = 0;
    for (uint32_t i = 0; i < w.pieces; ++i) {
      const Work &work = tileOf(cuOf(w), w.piece + i);
      w.ringBytes += ringBytesOf(work, task);
      w.cost += costOf(work, part, task.rowParts, goesInRounds ? rounds : Rounds());
    }
    w.weightsLeft = w.ringBytes;
    w.chain = w.demandBegan = w.demandEnd = now;
    w.stage = Worker::EndPiece;
    w.isEnding = false;
    if (goesInRounds)
      beginRounds(worker, now, rounds);
    else
      w.isReading = demand(worker, now, tileOf(cuOf(w), w.piece), part, task.rowParts);
    advance(worker, now);
    return;
  }
  case Worker::EndPiece: {
    const DeviceTask &task = s.tasks[entry(w).task];
    for (uint32_t last = w.piece + w.pieces; w.piece < last; ++w.piece)
      store(worker, tileOf(cuOf(w), w.piece), entry(w).pieces[w.piece] % task.rowParts, task.rowParts);
    w.rounds = 0;
    w.there.clear();
    if (w.piece < entry(w).pieces.size()) {
      w.stage = Worker::BeginPiece;
      return step(worker, now);
    }
    store(worker, s.bodies[task.body].prologue, 0, 1);
    return finish(worker, now);
  }
  case Worker::Done:
    records[cuOf(w)].done = now;
    ++w.at;
    w.stage = Worker::Take;
    return step(worker, now);
  case Worker::PrologueDone:
  case Worker::Finished:
    return;
  }
}

void Engine::wait(uint32_t worker, double now) {
  Worker &w = workers[worker];
  records[cuOf(w)].waits = now;
  w.ready = 0;
  w.cause = -1;
  w.after = After::Event;
  w.pending = 0;
  w.stage = Worker::Run;
  if (o.deal.isDynamic) {
    // The scheduler waits for it.
    if (released[cuOf(w)] == kNever)
      return;
    takeRelease(w);
    at(std::max(now, w.ready), Kind::Step, worker);
    return;
  }
  const DeviceTask &task = s.tasks[entry(w).task];
  forWaits(task, chipletOf(worker), [&](uint32_t place, After after) {
    if (seen[place] == kNever) {
      waiting[place].push_back(worker);
      ++w.pending;
    } else if (seen[place] > w.ready) {
      w.ready = seen[place];
      w.cause = lastArrival[place];
      w.after = after;
    }
  });
  if (!w.pending)
    at(std::max(now, w.ready) + acquireOf(task), Kind::Step, worker);
}

/// Whether the rounds are there that work needs which begins where `done` of `of` parts are over; then it
/// begins no sooner than they came.
bool Engine::useRound(uint32_t worker, int64_t done, int64_t of) {
  Worker &w = workers[worker];
  size_t round = std::min(w.rounds - 1, done * w.rounds / of);
  if (w.there.size() <= round)
    return false;
  double begin = std::max(w.chain, w.there[round]);
  records[cuOf(w)].activations += begin - w.chain;
  w.chain = begin;
  return true;
}

/// Uses what has arrived for the pieces that run, and ends them when all is there.
void Engine::advance(uint32_t worker, double now) {
  Worker &w = workers[worker];
  if (w.stage != Worker::EndPiece || w.isEnding)
    return;
  CuRecord &record = records[cuOf(w)];
  while (w.weightsLeft > 0 && !w.arrived.empty()) {
    Worker::Arrived chunk = w.arrived.front();
    if (w.rounds && !useRound(worker, w.ringBytes - w.weightsLeft, w.ringBytes))
      break;
    w.arrived.pop_front();
    double begin = std::max(w.chain, chunk.time);
    record.bandwidth += begin - w.chain;
    w.chain = begin + w.cost * chunk.bytes / w.ringBytes;
    w.weightsLeft -= chunk.bytes;
    at(w.chain, Kind::FreeSlot, worker);
    for (; w.used < (w.ringBytes - w.weightsLeft) * w.rounds / w.ringBytes; ++w.used)
      at(w.chain + w.turnCost, Kind::Round, worker);
  }
  // Without weights a round is work of its own.
  for (; !w.ringBytes && w.used < w.rounds && useRound(worker, w.used, w.rounds); ++w.used) {
    w.chain += w.cost / w.rounds;
    at(w.chain, Kind::Round, worker);
  }
  if (w.weightsLeft > 0 || w.isReading)
    return;
  double end = std::max(w.chain, w.demandEnd);
  record.activations += end - w.chain;
  if (!w.ringBytes && !w.rounds)
    end += w.cost;
  record.activations += w.rounds ? w.ownReads : 0;
  w.isEnding = true;
  // Nothing is fetched while sums are added to.
  double added = p.addGbs > 0 ? tileOf(cuOf(w), w.piece).addedBytes / p.addGbs : 0;
  double last = added + p.tileNs;
  if (w.rounds) {
    bool isOfTiles = w.ringBytes > 0;
    // Warpgroups add the sums of all their tiles at once, block after block of rows.
    int64_t ends = roundsOf(w).blocks ? roundsOf(w).blocks : w.pieces;
    last = added + w.ownReads + (isOfTiles ? ends * p.togetherNs : roundsOf(w).rows * p.rowNs);
  }
  at(std::max(now, end) + last, Kind::Step, worker);
}

void Engine::finish(uint32_t worker, double now) {
  Worker &w = workers[worker];
  uint32_t cuTask = cuOf(w);
  records[cuTask].ran = now;
  w.stage = Worker::Done;
  ++result.signals;
  if (!o.hierarchicalEvents) {
    double released = release(chipletOf(worker), now);
    at(released, Kind::ArriveDevice, cuTask);
    at(released, Kind::Step, worker);
  } else if (s.chiplets == 1) {
    // One chiplet: its counter is that of the device.
    at(now, Kind::ArriveDevice, cuTask);
    at(now, Kind::Step, worker);
  } else {
    at(now + p.localAtomicNs / 2, Kind::ArriveLocal, cuTask);
  }
}

/// Writes the L2 of `chiplet` back, after those who asked before; when that is done.
double Engine::release(int64_t chiplet, double now) {
  ++result.writeBacks;
  memory.release(chiplet);
  return releasedAt[chiplet] = std::max(now, releasedAt[chiplet]) + p.releaseNs;
}

void Engine::arriveLocal(uint32_t cuTask, double now) {
  const CuTask &cu = s.cuTasks[cuTask];
  int64_t chiplet = chipletOf(cu.worker);
  Counter &counter = local[cu.task * s.chiplets + chiplet];
  counter.free = std::max(now, counter.free) + p.localServiceNs;
  double back = counter.free + p.localAtomicNs / 2;
  if (++counter.arrived == counter.expected) {
    uint32_t place = s.tasks.size() + cu.task * s.chiplets + chiplet;
    lastArrival[place] = cuTask;
    at(counter.free, Kind::EventDone, place);
    if (s.tasks[cu.task].isPublished) {
      // The last one writes the chiplet's L2 back, for all of them.
      ++result.signals;
      back = release(chiplet, back);
      at(back, Kind::ArriveDevice, cuTask);
    }
  }
  at(back, Kind::Step, cu.worker);
}

void Engine::arriveDevice(uint32_t cuTask, double now) {
  uint32_t task = s.cuTasks[cuTask].task;
  Counter &counter = device[task];
  counter.free = std::max(now, counter.free) + p.deviceServiceNs;
  lastArrival[task] = cuTask;
  ++result.deviceSignals;
  if (++counter.arrived == counter.expected)
    at(counter.free, Kind::EventDone, task);
}

/// Tells who waits for the event at `place` that a poll sees it at `seen`.
void Engine::wake(uint32_t who, double seen, uint32_t cause, After after) {
  if (who >= workers.size()) {
    uint32_t chiplet = who - workers.size();
    if (seen >= jobReady[chiplet]) {
      jobReady[chiplet] = seen;
      jobCause[chiplet] = {cause, after};
    }
    if (!--jobPending[chiplet])
      at(jobReady[chiplet] + acquireOf(s.tasks[jobs[chiplet][jobAt[chiplet]].task]), Kind::Schedule, chiplet);
    return;
  }
  Worker &w = workers[who];
  if (seen >= w.ready) {
    w.ready = seen;
    w.cause = cause;
    w.after = after;
  }
  if (!--w.pending)
    at(w.ready + acquireOf(s.tasks[entry(w).task]), Kind::Step, who);
}

void Engine::eventDone(uint32_t place, double now) {
  bool isOfDevice = place < s.tasks.size();
  seen[place] = now + (isOfDevice ? p.flagNs : p.localAtomicNs);
  for (uint32_t who : waiting[place])
    wake(who, seen[place], lastArrival[place], isOfDevice ? After::Event : After::ChipletEvent);
  waiting[place].clear();
}

/// A scheduler hands out its next job, once its events are over.
void Engine::dispatch(int64_t chiplet, double now) {
  size_t &next = jobAt[chiplet];
  if (next == jobs[chiplet].size())
    return;
  const Job &job = jobs[chiplet][next];
  bool mayWait = jobReady[chiplet] == 0;
  if (mayWait) {
    jobCause[chiplet] = {-1, After::Event};
    jobReady[chiplet] = now;
    forWaits(s.tasks[job.task], chiplet, [&](uint32_t place, After after) {
      if (seen[place] == kNever) {
        waiting[place].push_back(workers.size() + chiplet);
        ++jobPending[chiplet];
      } else if (seen[place] > jobReady[chiplet]) {
        jobReady[chiplet] = seen[place];
        jobCause[chiplet] = {lastArrival[place], after};
      }
    });
    if (jobPending[chiplet])
      return;
    if (jobReady[chiplet] > now)
      return at(jobReady[chiplet] + acquireOf(s.tasks[job.task]), Kind::Schedule, chiplet);
  }
  double end = now + p.schedulerNs;
  // Held up by an event, or by the job before.
  std::pair<int64_t, After> cause = jobCause[chiplet];
  if (cause.first < 0 && next)
    cause = {jobs[chiplet][next - 1].cuTasks.front(), After::Scheduler};
  for (uint32_t cuTask : job.cuTasks) {
    released[cuTask] = end + p.broadcastNs;
    releasedBy[cuTask] = cause;
    Worker &w = workers[s.cuTasks[cuTask].worker];
    bool isParked = w.stage == Worker::Run && w.at < queueOf(w).size() && cuOf(w) == cuTask;
    if (!isParked)
      continue;
    takeRelease(w);
    at(w.ready, Kind::Step, s.cuTasks[cuTask].worker);
  }
  ++next;
  jobReady[chiplet] = 0;
  at(end, Kind::Schedule, chiplet);
}

//===----------------------------------------------------------------------===//
// The run
//===----------------------------------------------------------------------===//

bool Engine::run(std::string &error) {
  size_t tasks = s.tasks.size();
  local.resize(tasks * s.chiplets);
  device.resize(tasks);
  releasedAt.resize(s.chiplets);
  seen.assign(tasks * (1 + s.chiplets), kNever);
  lastArrival.resize(seen.size());
  waiting.resize(seen.size());
  fetchBegin.assign(s.cuTasks.size(), kNever);
  fetchEnd.assign(s.cuTasks.size(), 0);
  released.assign(s.cuTasks.size(), kNever);
  releasedBy.resize(s.cuTasks.size());
  for (const CuTask &cu : s.cuTasks) {
    ++local[cu.task * s.chiplets + chipletOf(cu.worker)].expected;
    if (!o.hierarchicalEvents || s.chiplets == 1)
      ++device[cu.task].expected;
  }
  if (o.hierarchicalEvents && s.chiplets > 1)
    for (size_t i = 0; i < local.size(); ++i)
      device[i / s.chiplets].expected += local[i].expected > 0;
  ringSlots = std::max<int64_t>(2, (s.lds - s.scratch - p.ringReserve) / std::max(1.0, p.slotBytes));

  if (o.deal.isDynamic) {
    jobs.resize(s.chiplets);
    jobAt.resize(s.chiplets);
    jobPending.resize(s.chiplets);
    jobReady.resize(s.chiplets);
    jobCause.resize(s.chiplets);
    for (auto [i, cu] : llvm::enumerate(s.cuTasks)) {
      auto &of = jobs[chipletOf(cu.worker)];
      // A chiplet task is one job, broadcast; without chiplet tasks each entry is one.
      if (of.empty() || of.back().task != cu.task || !o.deal.awareOfChiplets)
        of.push_back({cu.task, {}});
      of.back().cuTasks.push_back(i);
    }
    for (int64_t c = 0; c < s.chiplets; ++c)
      at(p.launchNs, Kind::Schedule, c);
  }
  for (uint32_t w = 0; w < workers.size(); ++w)
    at(p.launchNs, Kind::Step, w);

  double now = 0;
  while (true) {
    double end = pipes.nextEnd();
    if (events.empty() && end == kNever)
      break;
    if (events.empty() || end <= events.top().time) {
      now = std::max(now, end);
      transferred(pipes.end(now), now);
      continue;
    }
    Event event = events.top();
    events.pop();
    now = event.time;
    switch (event.kind) {
    case Kind::Step:
      step(event.what, now);
      break;
    case Kind::Transfer:
      move(event.what, now);
      break;
    case Kind::Round:
      // Those of pieces that are over have all been asked for.
      if (workers[event.what].rounds)
        askRound(event.what, now);
      break;
    case Kind::FreeSlot:
      --workers[event.what].slots;
      fetch(event.what, now);
      break;
    case Kind::ArriveLocal:
      arriveLocal(event.what, now);
      break;
    case Kind::ArriveDevice:
      arriveDevice(event.what, now);
      break;
    case Kind::EventDone:
      eventDone(event.what, now);
      break;
    case Kind::Schedule:
      dispatch(event.what, now);
      break;
    }
  }
  for (auto [i, w] : llvm::enumerate(workers))
    if (w.stage != Worker::Finished) {
      error = "expected queues that run to their end, found task " + std::to_string(entry(w).task) + " of worker " +
              std::to_string(i) + " waiting for ever";
      return false;
    }
  collect(now);
  return true;
}

void Engine::collect(double end) {
  result.ns = end;
  result.l2Requests = memory.l2Requests * kLine;
  result.l2Hits = memory.l2Hits * kLine;
  result.mallRequests = memory.mallRequests * kLine;
  result.mallHits = memory.mallHits * kLine;
  result.hbmReads = memory.hbmReads * kLine;
  result.hbmWrites = memory.hbmWrites * kLine;
  result.compulsory = memory.compulsory * kLine;
  std::vector<bool> isWaitedFor(s.tasks.size());
  for (const DeviceTask &task : s.tasks)
    for (uint32_t wait : task.waits)
      isWaitedFor[wait] = true;
  result.exchanges = llvm::count(isWaitedFor, true);
  result.workers.assign(workers.size(), {});
  int64_t last = -1;
  for (auto [i, cu] : llvm::enumerate(s.cuTasks)) {
    const CuRecord &r = records[i];
    Times &times = result.workers[cu.worker];
    times.dispatch += r.waits - r.taken;
    times.dependency += r.runs - r.waits;
    times.bandwidth += r.bandwidth;
    times.activations += r.activations;
    times.compute += r.ran - r.runs - r.bandwidth - r.activations;
    times.signal += r.done - r.ran;
    if (fetchBegin[i] != kNever)
      result.fetches.push_back({cu.worker, static_cast<uint32_t>(i), fetchBegin[i], fetchEnd[i]});
    if (last < 0 || r.done > records[last].done)
      last = i;
  }
  for (Times &t : result.workers)
    t.idle = end - t.dispatch - t.dependency - t.bandwidth - t.activations - t.compute - t.signal;
  for (; last >= 0; last = records[last].cause)
    result.critical.push_back(last);
  std::reverse(result.critical.begin(), result.critical.end());
  result.records = std::move(records);
}

FailureOr<Result> fleet::sim::simulate(Schedule schedule, const Options &options, std::string &error) {
  if (options.deal.isDynamic && schedule.workers < 2) {
    error = "expected chiplets of at least 2 workers for scheduler=dynamic, found 1";
    return failure();
  }
  Result result;
  redeal(schedule, options.deal);
  if (!options.hierarchicalEvents)
    waitForAll(schedule); // one counter a task tells nothing of a chiplet
  Memory memory(schedule, options);
  for (int64_t i = 0; i < options.steps; ++i) {
    result = {};
    memory.beginStep();
    Engine engine(schedule, options, memory, result);
    if (!engine.run(error))
      return failure();
  }
  result.schedule = std::move(schedule);
  return result;
}
