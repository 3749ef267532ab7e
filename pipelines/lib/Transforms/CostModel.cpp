//===- CostModel.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"

#include "fleet/Conversion/ManyRows.h"
#include "fleet/Target/TargetModel.h"

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

/// Slices of the depth that a contraction is cut into, at most, and their depth: a multiple of a
/// matrix instruction's and a group of packed weights.
static constexpr int64_t kMostSlices = 8, kDepthGranule = 32;

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

/// The warps of a turn in NVIDIA's kernel of so many rows; 0 where it has none.
static int64_t rowGroupsOf(int64_t rows) {
  return nv::rowGroups(rows, nv::kWaves, rows <= getWideLeft(Backend::NVVM).rows).value_or(0);
}

int64_t CostModel::chooseSlices(const SlicedContraction &c, bool isForced) const {
  Backend backend = target.getBackend();
  bool isNvidia = backend == Backend::NVVM;
  // A few rows stand in shared memory: nothing to save. Other code generators read the left side of one tile at a time.
  bool isOfUse = isNvidia && c.rows >= getManyRows(backend) && c.tile == nv::kColumns && rowGroupsOf(c.rows);
  if (!isOfUse && (!isForced || backend != Backend::LLVM))
    return 1;
  // Every warp has as many chunks of a slice.
  int64_t granule = isNvidia ? nv::kDeep * (nv::kWaves / rowGroupsOf(c.rows)) : kDepthGranule;
  int64_t best = 1;
  double least = sliced(1, c);
  for (int64_t slices = 2; slices <= std::min<int64_t>(kMostSlices, workers); ++slices) {
    if (c.depth % (slices * granule))
      continue;
    double time = sliced(slices, c);
    if (time < least || (isForced && best == 1))
      best = slices, least = time;
  }
  return best;
}

double CostModel::sliced(int64_t slices, const SlicedContraction &c) const {
  int64_t ofSlice = static_cast<int64_t>(workers) / slices, depth = c.depth / slices;
  int64_t tiles = llvm::divideCeil(c.columns / c.tile, ofSlice);
  int64_t groups = std::max<int64_t>(1, rowGroupsOf(c.rows));
  int64_t passes = llvm::divideCeil(tiles, nv::tilesTogether(c.rows, 1, groups, tiles, c.isWide));
  // A worker's share: its weights come from HBM, and beside them activations out of the L2.
  double weights = kActivation * tiles * c.tile * depth;
  double left = (c.isWide ? kSum : kActivation) * passes * c.rows * depth;
  double time = std::max(stream(weights), at(weights + left, p.readGbs)) + tiles * p.togetherNs;
  if (slices == 1)
    return time;
  // Who needs a row reads all its slices; with no one to do that, one more task does.
  double row = kSum * c.columns * slices * std::ceil(c.rows / workers);
  return time + at(row, p.readGbs) + (c.isAdded ? 0 : deviceExchange() + p.l2Ns);
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
