//===- Simulator.h - Discrete events over a schedule
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_SIM_SIMULATOR_H
#define FLEET_SIM_SIMULATOR_H

#include "fleet/Sim/Parameters.h"
#include "fleet/Sim/Schedule.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace mlir::fleet::sim {
struct Options {
  Parameters parameters;
  Deal deal;
  bool prefetch = true;           ///< weights of later entries are fetched while a worker waits
  bool hierarchicalEvents = true; ///< false: every worker arrives at the device's counter
  bool isExact = false;           ///< caches of lines and sets instead of blocks
  int64_t steps = 1;              ///< the last one is reported, with the caches of those before
};

/// What let an entry run: nothing, the end of the entry before it in its queue, an event of the device
/// or of its chiplet whose last arrival came from another entry, or a scheduler that had handed out
/// another entry before.
enum class After : uint8_t { Nothing, Queue, Event, ChipletEvent, Scheduler };

/// Times of a queue entry, in ns: it is taken, begins to wait, runs, has run, is known to have run.
struct CuRecord {
  double taken = 0, waits = 0, runs = 0, ran = 0, done = 0;
  double bandwidth = 0, activations = 0; ///< stalls while it ran
  int64_t cause = -1;                    ///< the other entry; -1: none
  After after = After::Nothing;
};

/// Where a worker's time goes, in ns. They add up to the time of the step.
struct Times {
  double compute = 0, bandwidth = 0, activations = 0, dependency = 0, signal = 0, dispatch = 0, idle = 0;
};

struct Fetch {
  uint32_t worker, cuTask;
  double begin, end;
};

struct Result {
  bool isMeasured = false; ///< times are those of a kernel, and nothing but times is known
  double ns = 0;
  // Lines of 128 bytes, as bytes.
  int64_t l2Requests = 0, l2Hits = 0, mallRequests = 0, mallHits = 0;
  int64_t hbmReads = 0, hbmWrites = 0, compulsory = 0;
  int64_t signals = 0, deviceSignals = 0, writeBacks = 0, tasksRun = 0;
  int64_t exchanges = 0; ///< tasks that others wait for on all chiplets
  double flops = 0;
  std::vector<CuRecord> records;
  std::vector<Times> workers;
  std::vector<Fetch> fetches;       ///< weight fetches of each entry
  std::vector<uint32_t> critical;   ///< cu tasks, first to last
  Schedule schedule;                ///< as dealt
};

/// Runs `schedule`. Fails with a sentence in `error` if the queues cannot run to their end.
FailureOr<Result> simulate(Schedule schedule, const Options &options, std::string &error);

/// The result of a run of `schedule` that a kernel has left stamps of, in JSON: see docs/Simulator.md.
/// Fails with a sentence in `error` if they are of another form or not of this schedule.
FailureOr<Result> readStamps(Schedule schedule, llvm::StringRef text, std::string &error);

/// The result as an object: see docs/Simulator.md.
llvm::json::Object toJSON(const Result &result, const Options &options);
/// A table for people.
void printText(const Result &result, const Options &options, llvm::raw_ostream &os);
/// Trace events that Perfetto and Chrome read: a track for each worker.
void printTrace(const Result &result, llvm::raw_ostream &os);
} // namespace mlir::fleet::sim

#endif // FLEET_SIM_SIMULATOR_H
