//===- PlanPartitions.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostModel.h"
#include "Partition.h"

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"

#include <numeric>

namespace mlir::fleet {
#define GEN_PASS_DEF_PLANPARTITIONS
#include "fleet/Transforms/Passes.h.inc"

namespace {
/// Columns of a tile below which a code generator has no instruction.
constexpr int64_t kLeastColumns = 16;
/// Contracted elements of a slice: a matrix instruction's, and a group of
/// packed weights.
constexpr int64_t kDepthGranule = 32;

/// A task and those whose chunks on a chiplet are what its own chunk there
/// reads.
struct Chain {
  TaskOp last;
  /// Of each task before it: how its tiles are dealt, and the columns of a
  /// tile.
  struct Link {
    TaskOp task;
    SmallVector<Segment> segments; ///< in result columns or heads
    int64_t size;
  };
  SmallVector<Link> links;
};

struct PlanPartitions : impl::PlanPartitionsBase<PlanPartitions> {
  ModuleOp module;
  TargetAttr target;
  int64_t chiplets = 1;

  func::FuncOp bodyOf(TaskOp task) {
    return module.lookupSymbol<func::FuncOp>(task.getBody());
  }

  /// Lets chunk c of each of `segments` of the tiles of `task` be made on
  /// chiplet c, and what it reads of earlier tasks as well, as far back as that
  /// goes.
  bool align(TaskOp task, ArrayRef<Segment> segments, Chain &chain) {
    PartitionAttr partition = *task.getPartition();
    Chain::Link link{task, SmallVector<Segment>(segments), partition.getSize()};
    int64_t extent = 0;
    bool isHeads = partition.getKind() == PartitionKind::Heads;
    if (isHeads) {
      // A head of the result is a tile, whatever it is counted in.
      for (Segment &segment : link.segments)
        segment = {0, partition.getTiles()};
      link.segments.resize(1);
      link.size = 1;
      extent = partition.getTiles();
    } else if (partition.getKind() == PartitionKind::Columns) {
      extent = partition.getTiles() * partition.getSize();
    } else {
      return false;
    }
    int64_t covered = 0;
    for (const Segment &segment : link.segments) {
      if (segment.width % chiplets)
        return false;
      covered += segment.width;
      link.size = std::gcd(link.size,
                           std::gcd(segment.offset, segment.width / chiplets));
    }
    if (covered != extent ||
        (!isHeads && link.size < std::min(kLeastColumns, partition.getSize())))
      return false;
    chain.links.push_back(link);
    // A part of heads is not a head: the parts of one head stay together.
    if (!isHeads)
      return true;
    Reads reads;
    addReads(task, reads, chain);
    for (auto &[producer, read] : reads) {
      // A chiplet's ranges of a task rise.
      llvm::sort(read, [](const Segment &x, const Segment &y) {
        return x.offset < y.offset;
      });
      Chain longer = chain;
      if (align(cast<TaskOp>(producer), read, longer))
        chain = longer;
    }
    return true;
  }

  /// What a task reads of each earlier one, head by head.
  using Reads = llvm::MapVector<Operation *, SmallVector<Segment>>;

  /// Adds what `task` reads. Heads that a task of their own rotates are rotated on
  /// the chiplet that reads them: that task joins the chain, and reads on its behalf.
  void addReads(TaskOp task, Reads &reads, Chain &chain) {
    func::FuncOp body = bodyOf(task);
    for (auto [i, operand] : llvm::enumerate(task.getOperands())) {
      auto producer = operand.getDefiningOp<TaskOp>();
      SmallVector<Segment> read =
          producer ? segmentsRead(body, i) : SmallVector<Segment>();
      if (read.empty())
        continue;
      if (rotatesHeads(producer)) {
        chain.links.push_back(
            {producer, {{0, producer.getPartition()->getTiles()}}, 1});
        addReads(producer, reads, chain);
        continue;
      }
      for (const Segment &segment : read)
        if (!llvm::is_contained(reads[producer], segment))
          reads[producer].push_back(segment);
    }
  }

  /// Whether a tile of `task` is a head, rotated.
  bool rotatesHeads(TaskOp task) {
    Value root = bodyOf(task).getBody().front().getTerminator()->getOperand(0);
    PartitionAttr partition = *task.getPartition();
    return root.getDefiningOp<RopeOp>() &&
           partition.getKind() == PartitionKind::Columns &&
           partition.getSize() == 1 && partition.getTiles() % chiplets == 0;
  }

  /// Heads of `task` that stay together: kv heads.
  static int64_t headsOf(func::FuncOp body) {
    Value root = body.getBody().front().getTerminator()->getOperand(0);
    if (auto op = root.getDefiningOp<AttentionPartialOp>())
      return cast<ShapedType>(op.getInputs()[1].getType()).getDimSize(1);
    if (auto op = root.getDefiningOp<AttentionOp>())
      return cast<ShapedType>(op.getInputs()[1].getType()).getDimSize(1);
    if (auto op = root.getDefiningOp<AttentionMergeOp>())
      return cast<ShapedType>(op.getResult(0).getType()).getDimSize(1) /
             cast<ShapedType>(op.getInputs()[0].getType()).getDimSize(2);
    return 0;
  }

  bool headsFit(const Chain &chain) {
    return llvm::all_of(chain.links, [&](const Chain::Link &link) {
      return headsOf(bodyOf(link.task)) % chiplets == 0;
    });
  }

  /// The partial sums of `from` over equal slices of its depth.
  func::FuncOp makePartial(func::FuncOp from, const RowContraction &rows) {
    OpBuilder b(from);
    Location loc = from.getLoc();
    int64_t depth = rows.depth / chiplets, columns = rows.columns * chiplets;
    auto weightType = RankedTensorType::get(
        {columns, depth}, getElementTypeOrSelf(rows.weight.getType()));
    auto resultType =
        RankedTensorType::get({rows.rows, columns}, b.getF32Type());
    auto body = func::FuncOp::create(
        b, loc, (from.getSymName() + "_slices").str(),
        b.getFunctionType({rows.input.getType(), weightType}, resultType));
    body.setPrivate();
    body->setAttr("fleet.body", b.getUnitAttr());
    Block *entry = body.addEntryBlock();
    b.setInsertionPointToEnd(entry);
    linalg::MatmulOp matmul = rows.matmul;
    auto left = cast<RankedTensorType>(matmul.getInputs()[0].getType());
    Value x = entry->getArgument(0);
    if (auto collapse =
            matmul.getInputs()[0].getDefiningOp<tensor::CollapseShapeOp>())
      x = tensor::CollapseShapeOp::create(b, loc, left, x,
                                          collapse.getReassociationIndices());
    SmallVector<ReassociationIndices> second = {{0}, {1, 2}},
                                      first = {{0, 1}, {2}};
    x = tensor::ExpandShapeOp::create(
        b, loc,
        RankedTensorType::get({rows.rows, chiplets, depth},
                              left.getElementType()),
        x, second);
    Value w = tensor::ExpandShapeOp::create(
        b, loc,
        RankedTensorType::get({chiplets, rows.columns, depth},
                              weightType.getElementType()),
        entry->getArgument(1), first);
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    Value empty = tensor::EmptyOp::create(
        b, loc, {rows.rows, chiplets, rows.columns}, b.getF32Type());
    Value init = linalg::FillOp::create(b, loc, zero, empty).getResult(0);
    AffineExpr m, s, n, k;
    bindDims(&getContext(), m, s, n, k);
    auto maps = AffineMap::inferFromExprList(
        ArrayRef<ArrayRef<AffineExpr>>{{m, s, k}, {s, n, k}, {m, s, n}},
        &getContext());
    using utils::IteratorType;
    Value sums =
        linalg::GenericOp::create(
            b, loc, init.getType(), ValueRange{x, w}, init, maps,
            ArrayRef<IteratorType>{
                IteratorType::parallel, IteratorType::parallel,
                IteratorType::parallel, IteratorType::reduction},
            [](OpBuilder &b, Location loc, ValueRange in) {
              auto wide = [&](Value v) -> Value {
                return v.getType().isF32() ? v
                                           : Value(arith::ExtFOp::create(
                                                 b, loc, b.getF32Type(), v));
              };
              Value product =
                  arith::MulFOp::create(b, loc, wide(in[0]), wide(in[1]));
              linalg::YieldOp::create(
                  b, loc, Value(arith::AddFOp::create(b, loc, in[2], product)));
            })
            .getResult(0);
    Value flat =
        tensor::CollapseShapeOp::create(b, loc, resultType, sums, second);
    func::ReturnOp::create(b, loc, flat);
    return body;
  }

  /// What `from` computes from the sum of those partial sums, in the order of
  /// the slices. Its arguments are the partial sums and those of `from` but
  /// input and weight.
  func::FuncOp makeSum(func::FuncOp from, const RowContraction &rows) {
    OpBuilder b(from);
    Location loc = from.getLoc();
    auto sliceType =
        RankedTensorType::get({rows.rows, rows.columns}, b.getF32Type());
    SmallVector<Type> types = {RankedTensorType::get(
        {rows.rows, rows.columns * chiplets}, b.getF32Type())};
    SmallVector<BlockArgument> kept;
    for (BlockArgument arg : from.getArguments())
      if (arg != rows.weight && usedBesideContraction(arg, rows)) {
        kept.push_back(arg);
        types.push_back(arg.getType());
      }
    auto body =
        func::FuncOp::create(b, loc, (from.getSymName() + "_sum").str(),
                             b.getFunctionType(types, from.getResultTypes()));
    body.setPrivate();
    body->setAttr("fleet.body", b.getUnitAttr());
    Block *entry = body.addEntryBlock();
    b.setInsertionPointToEnd(entry);
    IRMapping mapping;
    for (auto [i, arg] : llvm::enumerate(kept))
      mapping.map(arg, entry->getArgument(i + 1));
    SmallVector<Value> slices;
    for (int64_t s = 0; s < chiplets; ++s) {
      SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0),
                                           b.getIndexAttr(s * rows.columns)};
      SmallVector<OpFoldResult> strides(2, b.getIndexAttr(1));
      slices.push_back(tensor::ExtractSliceOp::create(
          b, loc, sliceType, entry->getArgument(0), offsets,
          getAsIndexOpFoldResult(&getContext(), sliceType.getShape()),
          strides));
    }
    Value empty =
        tensor::EmptyOp::create(b, loc, sliceType.getShape(), b.getF32Type());
    SmallVector<AffineMap> maps(chiplets + 1, b.getMultiDimIdentityMap(2));
    Value sum =
        linalg::GenericOp::create(
            b, loc, sliceType, slices, empty, maps,
            SmallVector<utils::IteratorType>(2, utils::IteratorType::parallel),
            [&](OpBuilder &b, Location loc, ValueRange in) {
              Value sum = in[0];
              for (Value slice : in.drop_front().drop_back())
                sum = arith::AddFOp::create(b, loc, sum, slice);
              linalg::YieldOp::create(b, loc, sum);
            })
            .getResult(0);
    linalg::MatmulOp matmul = rows.matmul;
    mapping.map(matmul.getResult(0), sum);
    for (Operation &op : from.getBody().front().without_terminator())
      if (&op != matmul.getOperation())
        b.clone(op, mapping);
    Value root = from.getBody().front().getTerminator()->getOperand(0);
    func::ReturnOp::create(b, loc, mapping.lookup(root));
    // What led to the contraction alone is dead here.
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(*entry)))
      if (!op.hasTrait<OpTrait::IsTerminator>() && op.use_empty())
        op.erase();
    return body;
  }

  static bool usedBesideContraction(BlockArgument arg,
                                    const RowContraction &rows) {
    if (arg != rows.input)
      return true;
    // The left side's views are read by the contraction alone.
    SmallVector<Value> open = {arg};
    while (!open.empty())
      for (Operation *user : open.pop_back_val().getUsers()) {
        if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(user))
          open.push_back(collapse.getResult());
        else if (user != linalg::MatmulOp(rows.matmul).getOperation())
          return true;
      }
    return false;
  }

  /// Tiles of a sum that all workers of a chiplet share: equal, no line of 64
  /// bytes in two of them.
  PartitionAttr replicatedPartition(int64_t columns) {
    int64_t size = std::min(
        columns,
        std::max<int64_t>(kLeastColumns,
                          llvm::divideCeil(columns, target.getWorkers())));
    while (size < columns && (columns % size || size % kLeastColumns))
      ++size;
    return PartitionAttr::get(&getContext(), PartitionKind::Replicated,
                              columns / size, size, 1);
  }

  void runOnOperation() override;
  LogicalResult plan(func::FuncOp step);
};

LogicalResult PlanPartitions::plan(func::FuncOp step) {
  chiplets = target.getChiplets();
  SmallVector<TaskOp> tasks(step.getOps<TaskOp>());
  for (TaskOp task : tasks) {
    func::FuncOp body = requireBody(module, task);
    if (!body)
      return failure();
    task.setPartitionAttr(getDefaultPartition(body, target));
  }
  StringRef wanted = getSwitch(module, "partition");
  bool mayBind = chiplets > 1 && getSwitch(module, "binding") == "on" &&
                 getSwitch(module, "chiplets") == "aware";
  if (!mayBind)
    return success();

  // Chains that end in a contraction, or in heads that no contraction of rows
  // reads.
  llvm::MapVector<Operation *, SmallVector<std::pair<Chain, bool>>>
      chains; // by the last task's body
  llvm::DenseSet<Operation *> inside;
  for (TaskOp task : llvm::reverse(tasks)) {
    func::FuncOp body = bodyOf(task);
    std::optional<RowContraction> rows = matchRowContraction(body);
    if (rows && rows->depth % (chiplets * kDepthGranule) == 0 &&
        task.getOperand(rows->weight.getArgNumber()).getDefiningOp<ParamOp>()) {
      auto producer =
          task.getOperand(rows->input.getArgNumber()).getDefiningOp<TaskOp>();
      Chain chain{task, {}};
      if (producer &&
          align(producer, segmentsRead(body, rows->input.getArgNumber()),
                chain) &&
          headsFit(chain)) {
        for (const Chain::Link &link : chain.links)
          inside.insert(link.task);
        chains[body].push_back({chain, true});
        continue;
      }
    }
    if (headsOf(body) && headsOf(body) % chiplets == 0 &&
        !inside.contains(task)) {
      Chain chain{task, {}};
      if (align(task, {Segment{0, task.getPartition()->getTiles()}}, chain) &&
          headsFit(chain)) {
        for (const Chain::Link &link : chain.links)
          inside.insert(link.task);
        chains[body].push_back({chain, false});
      }
    }
  }

  CostModel costs(target);
  llvm::DenseMap<Operation *, std::pair<func::FuncOp, func::FuncOp>> made;
  llvm::DenseMap<Operation *, int64_t>
      sizes; // of a body's tiles: they are the same in all tasks
  for (auto &[body, list] : chains)
    for (auto &[chain, byRows] : list)
      for (const Chain::Link &link : chain.links) {
        int64_t &size =
            sizes.try_emplace(bodyOf(link.task), link.size).first->second;
        size = std::gcd(size, link.size);
      }
  llvm::DenseSet<Value> results(
      step.getBody().front().getTerminator()->operand_begin(),
      step.getBody().front().getTerminator()->operand_end());
  for (auto &[bodyOp, list] : chains) {
    auto body = cast<func::FuncOp>(bodyOp);
    for (auto &[chain, byRows] : list) {
      std::optional<RowContraction> rows =
          byRows ? matchRowContraction(body) : std::nullopt;
      bool cut = false;
      if (rows && wanted != "columns" &&
          !results.contains(chain.last.getResult(0))) {
        PairedCost cost =
            costs.comparePaired(rows->rows, rows->depth, rows->columns);
        cut = wanted == "rows" || cost.rows < cost.columns;
      }
      // Heads stay on their chiplet either way; columns only where the rows
      // that read them do.
      bool hasHeads = llvm::any_of(chain.links, [&](const Chain::Link &link) {
        return headsOf(bodyOf(link.task));
      });
      if (cut || hasHeads)
        for (Chain::Link &link : chain.links) {
          PartitionAttr partition = *link.task.getPartition();
          func::FuncOp linkBody = bodyOf(link.task);
          int64_t size = partition.getKind() == PartitionKind::Heads
                             ? partition.getSize()
                             : sizes.lookup(linkBody);
          int64_t unit = partition.getKind() == PartitionKind::Heads ? 1 : size;
          SmallVector<int64_t> flat;
          for (const Segment &segment : link.segments)
            flat.append({segment.offset / unit, segment.width / unit});
          if (partition.getKind() == PartitionKind::Columns)
            link.task.setPartitionAttr(PartitionAttr::get(
                &getContext(), partition.getKind(),
                partition.getTiles() * partition.getSize() / size, size, 1));
          link.task->setAttr("fleet.segments",
                             DenseI64ArrayAttr::get(&getContext(), flat));
        }
      if (!cut)
        continue;
      auto [it, isNew] = made.try_emplace(bodyOp);
      if (isNew)
        it->second = {makePartial(body, *rows), makeSum(body, *rows)};
      auto [partial, sum] = it->second;
      TaskOp task = chain.last;
      OpBuilder b(task);
      auto param =
          task.getOperand(rows->weight.getArgNumber()).getDefiningOp<ParamOp>();
      auto slicesType = cast<RankedTensorType>(partial.getArgumentTypes()[1]);
      Value weight;
      {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(param);
        weight = ParamOp::create(b, param.getLoc(), slicesType,
                                 param.getNames(), IntegerAttr(), IntegerAttr(),
                                 b.getI64IntegerAttr(chiplets));
      }
      int64_t size =
          costs.columnsOfSlices(rows->rows, rows->columns,
                                getDefaultPartition(body, target).getSize());
      auto partition =
          PartitionAttr::get(&getContext(), PartitionKind::Rows,
                             chiplets * (rows->columns / size), size, chiplets);
      auto first = TaskOp::create(
          b, task.getLoc(), TypeRange(partial.getResultTypes()), 0,
          partial.getSymName(),
          ValueRange{task.getOperand(rows->input.getArgNumber()), weight},
          partition, TraversalAttr(), DenseI64ArrayAttr(), DenseI64ArrayAttr());
      first->setAttr("fleet.segments",
                     b.getDenseI64ArrayAttr({0, partition.getTiles()}));
      SmallVector<Value> operands = {first.getResult(0)};
      for (BlockArgument arg : body.getArguments())
        if (arg != rows->weight && usedBesideContraction(arg, *rows))
          operands.push_back(task.getOperand(arg.getArgNumber()));
      auto second = TaskOp::create(
          b, task.getLoc(), TypeRange(sum.getResultTypes()), 0,
          sum.getSymName(), operands, replicatedPartition(rows->columns),
          TraversalAttr(), DenseI64ArrayAttr(), DenseI64ArrayAttr());
      task.getResult(0).replaceAllUsesWith(second.getResult(0));
      task.erase();
      if (param->use_empty())
        param.erase();
    }
  }
  for (auto &[bodyOp, list] : chains)
    if (made.count(bodyOp) &&
        SymbolTable::symbolKnownUseEmpty(cast<func::FuncOp>(bodyOp), module))
      bodyOp->erase();
  // Tiles of one body are the same in all of its tasks.
  llvm::StringMap<PartitionAttr> first;
  int64_t id = 0;
  for (auto task : step.getOps<TaskOp>()) {
    task.setId(id++);
    auto [it, isNew] = first.try_emplace(task.getBody(), *task.getPartition());
    if (it->second.getTiles() > task.getPartition()->getTiles())
      return task.emitError(
                 "expected all tasks of one body to be cut alike, found ")
             << *task.getPartition() << " and " << it->second;
  }
  return success();
}

void PlanPartitions::runOnOperation() {
  module = getOperation();
  target = requireTarget(module);
  func::FuncOp step = target ? requireStep(module) : func::FuncOp();
  if (!step || failed(plan(step)))
    signalPassFailure();
}
} // namespace
} // namespace mlir::fleet
