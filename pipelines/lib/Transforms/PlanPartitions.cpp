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
  func::FuncOp makePartial(func::FuncOp from, const RowContraction &rows, int64_t slices) {
    OpBuilder b(from);
    Location loc = from.getLoc();
    int64_t depth = rows.depth / slices, columns = rows.columns * slices;
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
        RankedTensorType::get({rows.rows, slices, depth},
                              left.getElementType()),
        x, second);
    Value w = tensor::ExpandShapeOp::create(
        b, loc,
        RankedTensorType::get({slices, rows.columns, depth},
                              weightType.getElementType()),
        entry->getArgument(1), first);
    Value zero = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(0));
    Value empty = tensor::EmptyOp::create(
        b, loc, {rows.rows, slices, rows.columns}, b.getF32Type());
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
  func::FuncOp makeSum(func::FuncOp from, const RowContraction &rows, int64_t count) {
    OpBuilder b(from);
    Location loc = from.getLoc();
    auto sliceType =
        RankedTensorType::get({rows.rows, rows.columns}, b.getF32Type());
    SmallVector<Type> types = {RankedTensorType::get(
        {rows.rows, rows.columns * count}, b.getF32Type())};
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
    for (int64_t s = 0; s < count; ++s) {
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
    SmallVector<AffineMap> maps(count + 1, b.getMultiDimIdentityMap(2));
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

  /// The task of the partial sums of `task`, in front of it, and its weight in slices.
  TaskOp makeSlices(TaskOp task, const RowContraction &rows, func::FuncOp partial, int64_t size, int64_t slices) {
    OpBuilder b(task);
    auto param = task.getOperand(rows.weight.getArgNumber()).getDefiningOp<ParamOp>();
    Value weight;
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(param);
      weight = ParamOp::create(b, param.getLoc(), partial.getArgumentTypes()[1], param.getNames(), IntegerAttr(),
                               IntegerAttr(), b.getI64IntegerAttr(slices));
    }
    auto partition =
        PartitionAttr::get(&getContext(), PartitionKind::Rows, slices * (rows.columns / size), size, slices);
    return TaskOp::create(b, task.getLoc(), TypeRange(partial.getResultTypes()), 0, partial.getSymName(),
                          ValueRange{task.getOperand(rows.input.getArgNumber()), weight}, partition, TraversalAttr(),
                          DenseI64ArrayAttr(), DenseI64ArrayAttr());
  }

  /// What the body that `makeSum` made of the body of `task` takes.
  SmallVector<Value> operandsOfSum(TaskOp task, const RowContraction &rows, TaskOp slices) {
    SmallVector<Value> operands = {slices.getResult(0)};
    for (BlockArgument arg : bodyOf(task).getArguments())
      if (arg != rows.weight && usedBesideContraction(arg, rows))
        operands.push_back(task.getOperand(arg.getArgNumber()));
    return operands;
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

  /// Tiles of a sum that so many workers of a chiplet share: equal, no line of 64
  /// bytes in two of them.
  PartitionAttr sharedPartition(PartitionKind kind, int64_t columns, int64_t workers) {
    int64_t size = std::min(columns, std::max<int64_t>(kLeastColumns, llvm::divideCeil(columns, workers)));
    while (size < columns && (columns % size || size % kLeastColumns))
      ++size;
    return PartitionAttr::get(&getContext(), kind, columns / size, size, 1);
  }

  /// Whether tiles of `body` can add up slices in the place of argument `arg` of the same
  /// size, each what it reads of it: a norm of rows, or what follows a contraction by columns.
  bool canAdd(func::FuncOp body, PartitionAttr partition, unsigned arg) {
    Value root = body.getBody().front().getTerminator()->getOperand(0);
    BlockArgument value = body.getArgument(arg);
    if (isa_and_present<RmsNormOp, LayerNormOp>(root.getDefiningOp()) && partition.getKind() == PartitionKind::Heads)
      return value.hasOneUse() && *value.getUsers().begin() == root.getDefiningOp();
    if (partition.getKind() != PartitionKind::Columns || body.getOps<linalg::MatmulOp>().empty())
      return false;
    return llvm::all_of(value.getUses(), [&](OpOperand &use) {
      auto generic = dyn_cast<linalg::GenericOp>(use.getOwner());
      return generic && isElementwise(generic) && generic.getMatchingIndexingMap(&use).isIdentity() &&
             shapeOf(value) == shapeOf(root);
    });
  }

  static ArrayRef<int64_t> shapeOf(Value value) { return cast<RankedTensorType>(value.getType()).getShape(); }

  /// `body` with `sum` computed in the place of argument `arg`: its arguments without that
  /// one, and those of `sum`.
  func::FuncOp addInside(func::FuncOp body, unsigned arg, func::FuncOp sum) {
    OpBuilder b(body);
    SmallVector<Type> types;
    for (BlockArgument own : body.getArguments())
      if (own.getArgNumber() != arg)
        types.push_back(own.getType());
    llvm::append_range(types, sum.getArgumentTypes());
    auto result = func::FuncOp::create(b, body.getLoc(), (body.getSymName() + "_of_" + sum.getSymName()).str(),
                                       b.getFunctionType(types, body.getResultTypes()));
    result.setPrivate();
    result->setAttr("fleet.body", b.getUnitAttr());
    Block *entry = result.addEntryBlock();
    b.setInsertionPointToEnd(entry);
    IRMapping mapping;
    auto given = entry->args_begin();
    for (BlockArgument own : body.getArguments())
      if (own.getArgNumber() != arg)
        mapping.map(own, *given++);
    for (BlockArgument own : sum.getArguments())
      mapping.map(own, *given++);
    for (Operation &op : sum.getBody().front().without_terminator())
      b.clone(op, mapping);
    Value value = sum.getBody().front().getTerminator()->getOperand(0);
    mapping.map(body.getArgument(arg), mapping.lookup(value));
    for (Operation &op : body.getBody().front())
      b.clone(op, mapping);
    return result;
  }

  void runOnOperation() override;
  LogicalResult plan(func::FuncOp step);
  LogicalResult planSlices(func::FuncOp step, ArrayRef<TaskOp> tasks);
};

/// Contractions of one chiplet in slices of their depth, each for a part of the workers, where
/// that saves reading activations. Who reads the result adds up the slices himself if he can: no
/// further task stands between them. For all others a task adds them.
LogicalResult PlanPartitions::planSlices(func::FuncOp step, ArrayRef<TaskOp> tasks) {
  StringRef wanted = getSwitch(module, "partition");
  if (wanted == "columns")
    return success();
  CostModel costs(target);
  auto *end = step.getBody().front().getTerminator();
  // How a task is cut, by its body: all tasks of one are cut alike.
  struct Cut {
    int64_t slices = 1;
    func::FuncOp partial, sum;
  };
  llvm::MapVector<Operation *, Cut> cuts;
  auto matched = [&](TaskOp task) -> std::optional<RowContraction> {
    std::optional<RowContraction> rows = matchRowContraction(bodyOf(task));
    bool isOfParam = rows && task.getOperand(rows->weight.getArgNumber()).getDefiningOp<ParamOp>();
    bool isResult = llvm::is_contained(end->getOperands(), task.getResult(0));
    return isOfParam && !isResult ? rows : std::nullopt;
  };
  auto canUserAdd = [&](OpOperand &use) {
    auto user = dyn_cast<TaskOp>(use.getOwner());
    return user && llvm::count(user.getOperands(), use.get()) == 1 &&
           canAdd(bodyOf(user), *user.getPartition(), use.getOperandNumber());
  };
  for (TaskOp task : tasks) {
    std::optional<RowContraction> rows = matched(task);
    if (!rows)
      continue;
    // Where nobody can add the slices himself, all wait for the task that adds them.
    bool isAdded = llvm::any_of(task->getUses(), canUserAdd);
    bool isWide = getElementTypeOrSelf(linalg::MatmulOp(rows->matmul).getInputs()[0].getType()).isF32();
    int64_t slices = costs.chooseSlices(
        {rows->rows, rows->depth, rows->columns, task.getPartition()->getSize(), isWide, isAdded}, wanted == "rows");
    auto [it, isNew] = cuts.try_emplace(bodyOf(task), Cut{slices, {}, {}});
    it->second.slices = std::min(it->second.slices, slices);
  }
  llvm::DenseMap<std::tuple<Operation *, unsigned, Operation *>, func::FuncOp> inside;
  for (TaskOp task : tasks) {
    func::FuncOp body = bodyOf(task);
    auto it = cuts.find(body);
    if (it == cuts.end() || it->second.slices == 1)
      continue;
    std::optional<RowContraction> rows = matched(task);
    Cut &cut = it->second;
    if (!cut.partial)
      cut.partial = makePartial(body, *rows, cut.slices), cut.sum = makeSum(body, *rows, cut.slices);
    int64_t size = task.getPartition()->getSize();
    TaskOp first = makeSlices(task, *rows, cut.partial, size, cut.slices);
    SmallVector<Value> operands = operandsOfSum(task, *rows, first);
    SmallVector<OpOperand *> uses;
    for (OpOperand &use : task->getUses())
      uses.push_back(&use);
    TaskOp last = first;
    bool isAdded = true;
    llvm::sort(uses, [](OpOperand *x, OpOperand *y) { return x->getOwner()->isBeforeInBlock(y->getOwner()); });
    for (OpOperand *use : uses) {
      auto user = cast<TaskOp>(use->getOwner());
      auto other = cuts.find(bodyOf(user));
      // Who is cut himself would hand the slices on to those who add his.
      if ((other != cuts.end() && other->second.slices > 1) || !canUserAdd(*use)) {
        isAdded = false;
        continue;
      }
      func::FuncOp &with = inside[{bodyOf(user), use->getOperandNumber(), cut.sum}];
      if (!with)
        with = addInside(bodyOf(user), use->getOperandNumber(), cut.sum);
      SmallVector<Value> all;
      for (OpOperand &own : user->getOpOperands())
        if (&own != use)
          all.push_back(own.get());
      llvm::append_range(all, operands);
      user->setOperands(all);
      user.setBody(with.getSymName());
      last = user->isBeforeInBlock(last) ? last : user;
    }
    if (!isAdded) {
      // Nobody who could do without has to wait for it: it comes after them.
      OpBuilder b(task);
      for (Operation *user : task->getUsers())
        if (user->isBeforeInBlock(last))
          last = first;
      b.setInsertionPointAfter(last);
      // All wait for those who add the slices themselves: the others can do it meanwhile, if they are many.
      int64_t workers = target.getWorkers();
      int64_t free = workers - (last == first ? workers : std::min(workers, last.getPartition()->getTiles()));
      bool isBeside = 2 * free >= workers;
      auto second = TaskOp::create(
          b, task.getLoc(), TypeRange(cut.sum.getResultTypes()), 0, cut.sum.getSymName(), operands,
          sharedPartition(PartitionKind::Columns, rows->columns, isBeside ? free : workers), TraversalAttr(),
          DenseI64ArrayAttr(), DenseI64ArrayAttr());
      if (isBeside)
        second->setAttr("fleet.beside", b.getUnitAttr());
      task.getResult(0).replaceAllUsesWith(second.getResult(0));
    }
    auto param = task.getOperand(rows->weight.getArgNumber()).getDefiningOp<ParamOp>();
    task.erase();
    if (param->use_empty())
      param.erase();
  }
  for (auto body : llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
    if (body->hasAttr("fleet.body") && SymbolTable::symbolKnownUseEmpty(body, module))
      body.erase();
  for (auto [id, task] : llvm::enumerate(step.getOps<TaskOp>()))
    task.setId(id);
  return success();
}

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
  if (chiplets == 1)
    return planSlices(step, tasks);
  bool mayBind = getSwitch(module, "binding") == "on" &&
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
        it->second = {makePartial(body, *rows, chiplets), makeSum(body, *rows, chiplets)};
      auto [partial, sum] = it->second;
      TaskOp task = chain.last;
      OpBuilder b(task);
      auto param =
          task.getOperand(rows->weight.getArgNumber()).getDefiningOp<ParamOp>();
      int64_t size =
          costs.columnsOfSlices(rows->rows, rows->columns,
                                getDefaultPartition(body, target).getSize());
      TaskOp first = makeSlices(task, *rows, partial, size, chiplets);
      first->setAttr("fleet.segments",
                     b.getDenseI64ArrayAttr({0, first.getPartition()->getTiles()}));
      SmallVector<Value> operands = operandsOfSum(task, *rows, first);
      auto second = TaskOp::create(
          b, task.getLoc(), TypeRange(sum.getResultTypes()), 0,
          sum.getSymName(), operands,
          sharedPartition(PartitionKind::Replicated, rows->columns, target.getWorkers()),
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
