//===- Stamps.cpp - What a kernel has measured, as a result
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Sim/Simulator.h"

#include "llvm/Support/JSON.h"

#include <algorithm>
#include <array>

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;
namespace json = llvm::json;

FailureOr<Result> fleet::sim::readStamps(Schedule schedule, StringRef text, std::string &error) {
  auto fail = [&](const llvm::Twine &message) {
    error = message.str();
    return failure();
  };
  llvm::Expected<json::Value> parsed = json::parse(text);
  if (!parsed)
    return fail("expected stamps in JSON, found " + llvm::toString(parsed.takeError()));
  const json::Object *all = parsed->getAsObject();
  const json::Array *rows = all ? all->getArray("stamps") : nullptr;
  std::optional<double> period = all ? all->getNumber("tick_ns") : std::nullopt;
  std::optional<StringRef> clock = all ? all->getString("clock") : std::nullopt;
  if (!rows || !period || *period <= 0 || !clock || (*clock != "common" && *clock != "worker"))
    return fail("expected stamps with \"tick_ns\" above 0, \"clock\" that is \"common\" or \"worker\", and a list \"stamps\"");
  if (rows->size() != schedule.cuTasks.size())
    return fail("expected a row of stamps for each of " + llvm::Twine(schedule.cuTasks.size()) + " queue entries, found " +
                llvm::Twine(rows->size()));

  Result result;
  result.isMeasured = true;
  result.records.resize(schedule.cuTasks.size());
  // Rows stand in the order of the queues, one after the other.
  size_t at = 0;
  double first = 0, last = 0;
  bool isFirst = true;
  for (auto [worker, queue] : llvm::enumerate(schedule.queues)) {
    double begin = 0, before = 0;
    for (auto [place, entry] : llvm::enumerate(queue)) {
      const json::Array *row = (*rows)[at].getAsArray();
      std::array<double, 4> ns;
      for (size_t i = 0; i < ns.size(); ++i) {
        std::optional<double> ticks = row && row->size() == ns.size() ? (*row)[i].getAsNumber() : std::nullopt;
        if (!ticks)
          return fail("expected 4 numbers in row " + llvm::Twine(at) + " of the stamps, found another value");
        ns[i] = *ticks * *period;
      }
      if (!place)
        begin = before = ns[0];
      if (!std::is_sorted(ns.begin(), ns.end()) || ns[0] < before)
        return fail("expected times that rise in row " + llvm::Twine(at) + " of the stamps, of worker " + llvm::Twine(worker));
      before = ns[3];
      // Clocks that have nothing to do with each other begin together.
      double shift = *clock == "worker" ? begin : 0;
      CuRecord &r = result.records[entry];
      r.taken = r.waits = ns[0] - shift;
      r.runs = ns[1] - shift;
      r.ran = ns[2] - shift;
      r.done = ns[3] - shift;
      first = isFirst ? r.taken : std::min(first, r.taken);
      isFirst = false;
      last = std::max(last, r.done);
      ++at;
    }
  }
  result.ns = last - first;
  result.workers.assign(schedule.queues.size(), {});
  for (auto [i, cu] : llvm::enumerate(schedule.cuTasks)) {
    CuRecord &r = result.records[i];
    for (double *time : {&r.taken, &r.waits, &r.runs, &r.ran, &r.done})
      *time -= first;
    Times &times = result.workers[cu.worker];
    times.dependency += r.runs - r.waits;
    times.compute += r.ran - r.runs;
    times.signal += r.done - r.ran;
  }
  for (Times &t : result.workers)
    t.idle = result.ns - t.dependency - t.compute - t.signal;
  result.tasksRun = schedule.cuTasks.size();
  result.schedule = std::move(schedule);
  return result;
}
