//===- CostModel.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::fleet;

/// Activations are stored in 2 bytes, sums in 4.
static constexpr double kActivation = 2, kSum = 4;
/// Waves of a workgroup that each have partial sums of a tile in LDS, and the
/// share of LDS that those may take.
static constexpr int64_t kWaves = 4, kShareOfLds = 4;
/// Columns of a tile that a code generator keeps in registers.
static constexpr int64_t kMostColumns = 256;

/// Rows of a tile: those of a matrix instruction; tiles of rows of a window.
static constexpr int64_t kRowTile = 16, kWindow = 4;

CostModel::CostModel(TargetAttr target)
    : target(target),
      p(sim::parametersOf(target.getName(),
                          stringifyBackend(target.getBackend()))),
      chiplets(target.getChiplets()), workers(target.getWorkers()) {}

double CostModel::deviceExchange() const {
  return workers * p.localServiceNs + p.releaseNs +
         chiplets * p.deviceServiceNs + p.flagNs + p.acquireNs;
}

double CostModel::chipletExchange() const {
  return workers * p.localServiceNs + p.localAtomicNs + p.l2Ns;
}

double CostModel::gather(double bytes) const {
  return p.mallNs +
         std::max({at(bytes, p.fabricGbs), at(bytes * chiplets, p.mallGbs),
                   at(bytes, p.l2Gbs)});
}

double CostModel::stream(double bytes) const {
  return at(bytes, target.getHbmGbs() * p.hbmEfficiency / (chiplets * workers));
}

double CostModel::load(double bytes, double latency) const {
  double rounds = p.loadBytes > 0 ? std::max(1.0, bytes / p.loadBytes) : 1;
  return std::max(rounds * latency, latency + at(bytes, p.workerGbs));
}

double CostModel::attendInParts(int64_t parts, int64_t rows, int64_t group,
                                int64_t size, int64_t context) const {
  double positions = std::ceil(double(context) / parts);
  // Two products and an exponential for each query head and position.
  double attend = load(2 * kActivation * rows * positions * size, p.hbmNs) +
                  at(rows * group * positions * (2.0 * size + 8), p.vectorGops);
  double values = double(parts) * rows * (size + kAttentionExtra);
  double merge = load(kSum * values, p.l2Ns) + at(4 * values, p.vectorGops);
  return attend + merge;
}

PairedCost CostModel::comparePaired(int64_t rows, int64_t depth,
                                    int64_t columns) const {
  double left = kActivation * rows * depth, sums = kSum * rows * columns;
  double least = std::max<double>(16, target.getTile());
  // All workers of a chiplet read the left side out of its L2.
  auto readLeft = [&](double bytes) {
    return std::max(at(bytes * workers, p.l2Gbs), at(bytes, p.workerGbs));
  };
  PairedCost cost;
  cost.columns = 2 * deviceExchange() + gather(left) + readLeft(left) +
                 gather(sums) +
                 p.tileNs * std::ceil(columns / least / (chiplets * workers));
  double wide = columnsOfSlices(rows, columns, least);
  // The sum is a task of its own: an entry of the queue, a tile, and loads in rounds.
  double ofWorker = sums * chiplets / workers, rounds = p.loadBytes > 0 ? std::ceil(ofWorker / p.loadBytes) : 1;
  double sum = p.dispatchNs + p.tileNs + gather(sums * chiplets) + (rounds - 1) * p.mallNs + at(ofWorker, p.workerGbs);
  cost.rows = deviceExchange() + 2 * chipletExchange() + p.l2Ns + readLeft(left / chiplets) + at(sums, p.fabricGbs) +
              sum + p.tileNs * std::ceil(columns / wide / workers);
  return cost;
}

int64_t CostModel::columnsOfSlices(int64_t rows, int64_t columns,
                                   int64_t least) const {
  int64_t size = least;
  auto fits = [&](int64_t wide) {
    int64_t scratch = 16 * ((rows + 15) / 16) * wide * kSum * kWaves;
    return columns % wide == 0 && columns / wide >= workers &&
           wide <= kMostColumns && scratch * kShareOfLds <= target.getLds();
  };
  while (fits(2 * size))
    size *= 2;
  return size;
}

TraversalAttr CostModel::chooseTraversal(StringRef wanted, int64_t rows,
                                         int64_t depth, int64_t columns,
                                         int64_t tile) const {
  MLIRContext *context = target.getContext();
  int64_t rowTile = std::min<int64_t>(kRowTile, rows);
  while (rows % rowTile)
    --rowTile;
  TraversalAttr best = TraversalAttr::get(context, Traversal::FullM);
  if (rowTile == rows || wanted == "full_m")
    return best;
  int64_t window = std::min<int64_t>(kWindow, rows / rowTile);
  while (rows / rowTile % window)
    --window;
  auto attribute = [&](Traversal value) {
    return TraversalAttr::get(context, value, rowTile,
                              value == Traversal::Windowed ? window : 0);
  };
  if (std::optional<Traversal> value = symbolizeTraversal(wanted))
    return attribute(*value);
  // GPU bodies keep the sums of all rows of a tile: they have no other order.
  if (target.getBackend() != Backend::LLVM)
    return best;
  double least =
      traverse(Traversal::FullM, rows, depth, columns, tile, rowTile);
  for (Traversal value :
       {Traversal::MMajor, Traversal::Windowed, Traversal::NMajor})
    if (double time = traverse(value, rows, depth, columns, tile, rowTile);
        time < least) {
      least = time;
      best = attribute(value);
    }
  return best;
}

double CostModel::traverse(Traversal traversal, int64_t rows, int64_t depth,
                           int64_t columns, int64_t tile,
                           int64_t rowTile) const {
  double weights = kActivation * depth * columns,
         left = kActivation * rows * depth;
  double rowTiles = std::ceil(double(rows) / rowTile);
  double tiles = std::ceil(columns / double(tile) /
                           (chiplets * workers)); // of columns, of a worker
  double hbm = at(weights, target.getHbmGbs() * p.hbmEfficiency);
  double weightsOfWorker = kActivation * depth * tile * tiles, ofL2 = 0;
  switch (traversal) {
  case Traversal::FullM:
    // Each column tile reads all rows, and its weights once.
    ofL2 = tiles * left + weightsOfWorker;
    break;
  case Traversal::MMajor:
    // Its weights again for each row tile, out of the L1 or the L2.
    ofL2 = tiles * left + rowTiles * weightsOfWorker;
    break;
  case Traversal::NMajor:
  case Traversal::Windowed:
    // All weights of the worker for each row tile: they come back from HBM if
    // the L2 cannot hold them.
    ofL2 = tiles * left + rowTiles * weightsOfWorker;
    if (weightsOfWorker * workers > target.getL2())
      hbm *= traversal == Traversal::NMajor ? rowTiles : 1;
    break;
  }
  double l2 = std::max(at(ofL2 * workers, p.l2Gbs), at(ofL2, p.workerGbs));
  double pieces = traversal == Traversal::FullM ? tiles : tiles * rowTiles;
  return std::max(hbm, l2) + p.tileNs * pieces;
}
