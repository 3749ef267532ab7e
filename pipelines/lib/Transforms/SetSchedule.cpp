//===- SetSchedule.cpp
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Transforms/Passes.h"
#include "fleet/Transforms/Switches.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

namespace mlir::fleet {
#define GEN_PASS_DEF_SETSCHEDULE
#include "fleet/Transforms/Passes.h.inc"
} // namespace mlir::fleet

using namespace mlir;
using namespace mlir::fleet;

static constexpr StringRef kAttribute = "fleet.schedule";

ArrayRef<Switch> fleet::getSwitches() {
  static const Switch switches[] = {
      {"scheduler",
       {"static", "dynamic"},
       "queues filled when compiling, or one worker of each chiplet that "
       "deals"},
      {"chiplets",
       {"aware", "unaware"},
       "ranges of tiles on a chiplet, or tile t on chiplet t mod chiplets"},
      {"binding",
       {"on", "off"},
       "what a chiplet made is read on that chiplet where that can be, under "
       "its own events"},
      {"partition",
       {"auto", "columns", "rows"},
       "how contractions are cut: by cost, or this way where it is possible"},
      {"traversal",
       {"auto", "full_m", "m_major", "n_major", "windowed"},
       "order of a contraction's tiles of rows and columns"},
      {"queues",
       {"auto", "balanced", "even"},
       "odd tiles to who has least to do (auto: on chips of several dies), or "
       "to the same workers in every task"},
      {"order",
       {"auto", "list", "program"},
       "tasks as they become ready, those with the longest way to the end "
       "first (auto: on chips of several dies), or as the model has them"},
      {"prefetch",
       {"on", "off"},
       "weights are streamed ahead of the events, or when their task runs"},
      {"events",
       {"hierarchical", "flat"},
       "one arrival of a chiplet at the device's counter, or one of each "
       "worker"},
      {"arena",
       {"reused", "whole"},
       "values of a step with many rows take the bytes of those that are over "
       "(on NVIDIA chips), or each its own, to be looked at after the step"},
  };
  return switches;
}

StringRef fleet::getSwitch(ModuleOp module, StringRef name) {
  if (auto all = module->getAttrOfType<DictionaryAttr>(kAttribute))
    if (auto value = all.getAs<StringAttr>(name))
      return value.getValue();
  const Switch *found = llvm::find_if(
      getSwitches(), [&](const Switch &s) { return s.name == name; });
  assert(found != getSwitches().end() && "no such switch");
  return found->values.front();
}

LogicalResult fleet::setSwitches(ModuleOp module, StringRef text) {
  NamedAttrList all(module->getAttrOfType<DictionaryAttr>(kAttribute));
  Builder b(module.getContext());
  SmallVector<StringRef> assignments;
  text.split(assignments, ',', /*MaxSplit=*/-1, /*KeepEmpty=*/false);
  for (StringRef assignment : assignments) {
    auto [name, value] = assignment.split('=');
    const Switch *found = llvm::find_if(
        getSwitches(), [&](const Switch &s) { return s.name == name.trim(); });
    if (found == getSwitches().end())
      return module.emitError("expected a switch among ")
             << llvm::join(
                    llvm::map_range(getSwitches(),
                                    [](const Switch &s) { return s.name; }),
                    ", ")
             << ", found '" << name.trim() << "'";
    if (!llvm::is_contained(found->values, value.trim()))
      return module.emitError("expected ")
             << found->name << " to be " << llvm::join(found->values, " or ")
             << ", found '" << value.trim() << "'";
    if (value.trim() == found->values.front())
      all.erase(found->name);
    else
      all.set(found->name, b.getStringAttr(value.trim()));
  }
  if (all.empty())
    module->removeAttr(kAttribute);
  else
    module->setAttr(kAttribute, all.getDictionary(module.getContext()));
  return success();
}

namespace {
struct SetSchedule : fleet::impl::SetScheduleBase<SetSchedule> {
  using SetScheduleBase::SetScheduleBase;
  void runOnOperation() override {
    if (failed(setSwitches(getOperation(), switches)))
      signalPassFailure();
  }
};
} // namespace
