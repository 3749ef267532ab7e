//===- Pipes.h - Bandwidth, shared
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_SIM_PIPES_H
#define FLEET_LIB_SIM_PIPES_H

#include "Memory.h"

#include <queue>

namespace mlir::fleet::sim {
/// Transfers that go on at the same time share what there is: those of one chiplet and level
/// are equally fast, none is faster than its worker, its L2 or its fabric allow, and HBM and
/// the memory side cache divide what is left over evenly (max-min fairness).
class Pipes {
public:
  Pipes(int64_t chiplets, int64_t hbmGbs, const Parameters &parameters);

  /// At `now`, `stream` begins to move `bytes` from `level` to `chiplet`.
  void start(double now, uint32_t stream, int64_t chiplet, Level level, double bytes);
  /// When the next transfer ends; infinity if none goes on.
  double nextEnd();
  /// Ends the transfer that ends at `now`, returns its stream.
  uint32_t end(double now);

private:
  struct Pipe {
    double served = 0, rate = 0; ///< bytes of each transfer so far, bytes a ns
    using Entry = std::pair<double, uint32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<Entry>> transfers;
    int64_t count() const { return transfers.size(); }
  };
  void settle(double now);
  void share();
  void divide(Level level, double bandwidth);

  std::vector<std::array<Pipe, kLevels>> pipes;
  std::vector<double> caps;
  double hbm, mall, fabric, l2, worker, last = 0;
  bool isShared = false;
  double next = 0;
  Pipe *nextPipe = nullptr;
};
} // namespace mlir::fleet::sim

#endif // FLEET_LIB_SIM_PIPES_H
