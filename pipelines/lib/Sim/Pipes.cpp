//===- Pipes.cpp - Bandwidth, shared
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Pipes.h"

#include <algorithm>
#include <limits>

using namespace mlir::fleet::sim;

static double limit(double gbs) { return gbs > 0 ? gbs : 1e9; }

Pipes::Pipes(int64_t chiplets, int64_t hbmGbs, const Parameters &p)
    : pipes(chiplets), caps(chiplets), hbm(limit(hbmGbs * p.hbmEfficiency)), mall(limit(p.mallGbs)),
      fabric(limit(p.fabricGbs)), l2(limit(p.l2Gbs)), worker(limit(p.workerGbs)) {}

void Pipes::settle(double now) {
  for (auto &of : pipes)
    for (Pipe &pipe : of)
      pipe.served += pipe.rate * (now - last);
  last = now;
}

/// Gives each transfer of `level` an equal part of `bandwidth`, but none more than its cap.
void Pipes::divide(Level level, double bandwidth) {
  int64_t count = 0;
  for (auto &of : pipes) {
    of[level].rate = 0;
    count += of[level].count();
  }
  bool isEven = false;
  while (count && !isEven) {
    isEven = true;
    double part = std::max(0.0, bandwidth) / count;
    for (size_t c = 0; c < pipes.size(); ++c) {
      Pipe &pipe = pipes[c][level];
      if (!pipe.count() || pipe.rate > 0 || caps[c] > part)
        continue;
      pipe.rate = caps[c];
      bandwidth -= caps[c] * pipe.count();
      count -= pipe.count();
      isEven = false;
    }
    if (isEven)
      for (auto &of : pipes)
        if (of[level].count() && of[level].rate == 0)
          of[level].rate = std::max(part, 1e-6);
  }
}

void Pipes::share() {
  for (size_t c = 0; c < pipes.size(); ++c) {
    auto &of = pipes[c];
    of[kL2].rate = of[kL2].count() ? std::min(worker, l2 / of[kL2].count()) : 0;
    int64_t outside = of[kMall].count() + of[kHbm].count();
    caps[c] = outside ? std::min(worker, fabric / outside) : worker;
  }
  divide(kHbm, hbm);
  double used = 0;
  for (auto &of : pipes)
    used += of[kHbm].rate * of[kHbm].count();
  divide(kMall, mall - used);
  next = std::numeric_limits<double>::infinity();
  nextPipe = nullptr;
  for (auto &of : pipes)
    for (Pipe &pipe : of)
      if (pipe.count()) {
        double at = last + std::max(0.0, pipe.transfers.top().first - pipe.served) / pipe.rate;
        if (at < next) {
          next = at;
          nextPipe = &pipe;
        }
      }
  isShared = true;
}

void Pipes::start(double now, uint32_t stream, int64_t chiplet, Level level, double bytes) {
  settle(now);
  Pipe &pipe = pipes[chiplet][level];
  if (!pipe.count())
    pipe.served = 0;
  pipe.transfers.push({pipe.served + bytes, stream});
  isShared = false;
}

double Pipes::nextEnd() {
  if (!isShared)
    share();
  return next;
}

uint32_t Pipes::end(double now) {
  settle(now);
  uint32_t stream = nextPipe->transfers.top().second;
  nextPipe->transfers.pop();
  isShared = false;
  return stream;
}
