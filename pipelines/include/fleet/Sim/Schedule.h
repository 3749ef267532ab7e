//===- Schedule.h - A compiled schedule, as the simulator sees it
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_SIM_SCHEDULE_H
#define FLEET_SIM_SCHEDULE_H

#include "fleet/IR/Fleet.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <string>
#include <vector>

namespace mlir::fleet::sim {
/// Bytes of an operand: `count` runs of `bytes`, `stride` apart.
struct Access {
  uint32_t operand = 0;
  int64_t offset = 0, bytes = 0, count = 1, stride = 0;
  bool writes = false;
  /// A contraction's parameter: it depends on no event, so it may be fetched ahead.
  bool isWeight = false;
  /// The runs belong to rows of the step, which a traversal may cut.
  bool isOfRows = false;
  /// What a contraction reads in a loop within its tile: where nothing is fetched ahead of its
  /// entry, it comes step by step, in order with the weights.
  bool isStreamed = false;
};

/// A contraction of `m` rows, `n` columns and `k` terms. Its left side `isWide`: of f32, beside
/// a narrower right side.
struct Contraction {
  int64_t m, n, k;
  bool isWide = false;
};

/// What a body does outside its loop over tiles, or for one tile of it.
struct Work {
  std::vector<Access> accesses;
  std::vector<Contraction> contractions;
  double vectorOps = 0; ///< scalar operations that no matrix unit takes
  int64_t reductions = 0; ///< steps in which the threads of a worker need each other
  int64_t weightBytes = 0, streamedBytes = 0;
  int64_t addedBytes = 0; ///< to sums in memory, which others may add to as well
  int64_t attentionRows = 0, attentionPositions = 0; ///< rows that attend, and to how many positions each
};

/// How a kernel computes a body: what contractions of several tiles of many rows have in common, or the
/// keys and values of attention, is read in rounds, each of which is used before its turn reads on.
struct Rounds {
  int64_t together = 1; ///< tiles that share their reads
  int64_t count = 0;    ///< rounds of these tiles; 0: reads go beside the work
  int64_t turns = 1;    ///< groups of warps that have rounds of their own, at the same time
  int64_t ahead = 0;    ///< rounds that each of them reads while it uses one
  int64_t readers = 1;  ///< warps that read each slot of the ring
  int64_t blocks = 0;   ///< of rows that a warp of a warpgroup has; 0: there are no warpgroups
  int64_t rows = 0;     ///< of attention, that a warp takes one after the other
  double share = 1;     ///< of the rows for which a round has room, where there are fewer
  bool ofFewRows = false; ///< of attention, whose warps share the positions of a row
  bool isCopied = false;  ///< of attention, to shared memory: they are on their way while others are used
};

struct Body {
  std::string name;
  Work prologue;
  std::vector<Work> tiles;
  bool isContraction = false;
  Rounds rounds;
};

/// Tiles of a device task that one worker runs as one queue entry. A piece is
/// `tile * rowParts + part`.
struct CuTask {
  uint32_t task = 0, worker = 0;
  std::vector<uint32_t> pieces;
};

struct DeviceTask {
  uint32_t body = 0;
  /// Rows are cut in this many parts, each a piece of its own.
  uint32_t rowParts = 1;
  /// Addresses of the operands in the one space of all arenas, and how far the instances of an
  /// operand are apart that has one for each chiplet (0: one for all).
  std::vector<uint64_t> operands, strides;
  /// Tasks of which all parts, and of which the parts on the same chiplet have to be over.
  std::vector<uint32_t> waits, chipletWaits;
  /// Each chiplet runs all tiles, into an instance of its own.
  bool isReplicated = false;
  /// Whether the device is told that the task is over.
  bool isPublished = true;
};

/// How to deal the same work in another way.
struct Deal {
  bool awareOfChiplets = true; ///< false: tile t on chiplet t mod chiplets, each tile a task
  bool isDynamic = false;      ///< one worker of each chiplet deals, the others run
  Traversal traversal = Traversal::FullM;
  int64_t rowTile = 16; ///< rows of a part where the traversal is not full_m
  /// Tiles of a body that make one piece of work, by body name.
  std::vector<std::pair<std::string, int64_t>> groups;

  bool isCompiled() const {
    return awareOfChiplets && !isDynamic && traversal == Traversal::FullM && groups.empty();
  }
};

struct Schedule {
  // Facts of the target.
  std::string target, backend;
  int64_t chiplets = 1, workers = 1, lds = 0, l2 = 0, hbmGbs = 0;
  // The step.
  int64_t layers = 0, rows = 1, scratch = 0, bytes = 0;
  std::vector<Body> bodies;
  std::vector<DeviceTask> tasks;
  std::vector<CuTask> cuTasks;
  std::vector<std::vector<uint32_t>> queues; ///< of each worker, indices of cuTasks
  // What the schedule was made for: attribute fleet.schedule.
  bool prefetch = true, hierarchicalEvents = true;
  Deal deal;
};

/// Reads a module of phase schedule or kernel. `context`: positions that the rows of the step
/// attend to, 0 for all that the caches have. Fails, with an error on the op, where a
/// body does what the simulator does not know.
FailureOr<Schedule> readSchedule(ModuleOp module, int64_t context);

/// Decides which tasks the device is told of: all, or where some wait on their own chiplet, those
/// that someone waits for on another and the last one.
void publish(Schedule &schedule);
/// Makes a wait for the part on the own chiplet one for the whole task.
void waitForAll(Schedule &schedule);
/// Deals the tiles of `schedule` anew; as compiled if `deal` changes nothing.
void redeal(Schedule &schedule, const Deal &deal);
} // namespace mlir::fleet::sim

#endif // FLEET_SIM_SCHEDULE_H
