//===- Output.cpp - What a simulation found, for people and programs
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/Sim/Simulator.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Format.h"

#include <map>

using namespace mlir;
using namespace mlir::fleet;
using namespace mlir::fleet::sim;
namespace json = llvm::json;

namespace {
struct Share {
  const char *name;
  double Times::*member;
};
constexpr Share kShares[] = {{"compute", &Times::compute},       {"bandwidth", &Times::bandwidth},
                             {"activations", &Times::activations}, {"dependency", &Times::dependency},
                             {"signal", &Times::signal},         {"dispatch", &Times::dispatch},
                             {"idle", &Times::idle}};

double ratio(int64_t part, int64_t all) { return all ? static_cast<double>(part) / all : 0; }

/// Mean of a share over all workers, in ns.
double mean(const Result &result, double Times::*member) {
  double sum = 0;
  for (const Times &times : result.workers)
    sum += times.*member;
  return result.workers.empty() ? 0 : sum / result.workers.size();
}

const std::string &bodyOf(const Result &result, uint32_t cuTask) {
  const Schedule &s = result.schedule;
  return s.bodies[s.tasks[s.cuTasks[cuTask].task].body].name;
}

StringRef afterName(After after) {
  constexpr const char *names[] = {"nothing", "queue", "event", "chiplet event", "scheduler"};
  return names[static_cast<int>(after)];
}

/// Along the critical path: where its time goes.
struct Path {
  double dispatch = 0, event = 0, bandwidth = 0, activations = 0, compute = 0, signal = 0;
  int64_t exchanges = 0;
};
Path pathOf(const Result &result) {
  Path path;
  for (auto [place, i] : llvm::enumerate(result.critical)) {
    const CuRecord &r = result.records[i];
    const CuRecord *before = r.cause < 0 ? nullptr : &result.records[r.cause];
    switch (r.after) {
    case After::Event:
      ++path.exchanges;
      [[fallthrough]];
    case After::ChipletEvent:
      // From the end of the cause's own work: its arrival, the flag and the acquire.
      path.event += r.runs - before->ran;
      break;
    case After::Queue:
      path.dispatch += r.runs - before->done;
      path.signal += before->done - before->ran;
      break;
    case After::Scheduler:
      path.dispatch += r.runs - before->runs;
      break;
    case After::Nothing:
      path.dispatch += r.runs;
      break;
    }
    // What a scheduler handed out before is not waited for.
    bool isPassed = place + 1 < result.critical.size() &&
                    result.records[result.critical[place + 1]].after == After::Scheduler;
    if (isPassed)
      continue;
    path.bandwidth += r.bandwidth;
    path.activations += r.activations;
    path.compute += r.ran - r.runs - r.bandwidth - r.activations;
  }
  if (!result.critical.empty())
    path.signal += result.ns - result.records[result.critical.back()].ran;
  return path;
}

/// What the best schedule of these bytes and operations could not go below.
struct Floor {
  double hbm, matrix;
};
Floor floorOf(const Result &result, const Options &options) {
  const Schedule &s = result.schedule;
  const Parameters &p = options.parameters;
  double gbs = s.hbmGbs * p.hbmEfficiency;
  return {gbs > 0 ? result.compulsory / gbs : 0, result.flops / (p.matrixGflops * s.chiplets * s.workers)};
}
} // namespace

json::Object fleet::sim::toJSON(const Result &result, const Options &options) {
  const Schedule &s = result.schedule;
  json::Object times;
  for (const Share &share : kShares)
    times[share.name] = mean(result, share.member) / 1000;
  json::Array workers;
  for (auto [i, t] : llvm::enumerate(result.workers)) {
    json::Object one{{"chiplet", static_cast<int64_t>(i) / s.workers}, {"worker", static_cast<int64_t>(i) % s.workers}};
    for (const Share &share : kShares)
      one[share.name] = t.*share.member / 1000;
    workers.push_back(std::move(one));
  }
  Path path = pathOf(result);
  json::Array critical;
  for (uint32_t i : result.critical) {
    const CuRecord &r = result.records[i];
    const CuTask &cu = s.cuTasks[i];
    critical.push_back(json::Object{{"task", cu.task},
                                    {"body", bodyOf(result, i)},
                                    {"worker", cu.worker},
                                    {"runs_us", r.runs / 1000},
                                    {"ran_us", r.ran / 1000},
                                    {"after", afterName(r.after)}});
  }
  // Time of each body, first start to last end, over all its device tasks.
  std::vector<std::pair<double, double>> spans(s.tasks.size(), {1e300, 0});
  for (auto [i, cu] : llvm::enumerate(s.cuTasks)) {
    spans[cu.task].first = std::min(spans[cu.task].first, result.records[i].runs);
    spans[cu.task].second = std::max(spans[cu.task].second, result.records[i].ran);
  }
  struct OfBody {
    int64_t tasks = 0, entries = 0;
    double span = 0, run = 0, wait = 0, longest = 0;
  };
  std::map<std::string, OfBody> byBody;
  std::vector<double> longest(s.tasks.size(), 0);
  for (const auto &queue : s.queues)
    for (uint32_t i : queue) {
      const CuRecord &r = result.records[i];
      OfBody &of = byBody[bodyOf(result, i)];
      ++of.entries;
      of.run += r.ran - r.runs;
      of.wait += r.runs - r.waits;
      double &most = longest[s.cuTasks[i].task];
      most = std::max(most, r.ran - r.runs);
    }
  for (auto [i, task] : llvm::enumerate(s.tasks)) {
    OfBody &of = byBody[s.bodies[task.body].name];
    ++of.tasks;
    of.span += std::max(0.0, spans[i].second - spans[i].first);
    of.longest += longest[i];
  }
  json::Object bodies;
  for (const auto &[name, of] : byBody)
    bodies[name] = json::Object{{"tasks", of.tasks},        {"entries", of.entries},           {"span_us", of.span / 1000},
                                {"run_us", of.run / 1000},  {"wait_us", of.wait / 1000},       {"longest_us", of.longest / 1000}};
  Floor floor = floorOf(result, options);
  json::Object parameters;
  auto sources = parameterSourcesOf(s.target, s.backend);
  const Parameters &given = parametersOf(s.target, s.backend);
  for (auto [info, source] : llvm::zip_equal(parameterInfos(), sources)) {
    bool isChanged = given.*info.member != options.parameters.*info.member;
    parameters[info.name] = json::Object{{"value", options.parameters.*info.member},
                                         {"unit", info.unit},
                                         {"origin", isChanged ? "given" : toString(source.origin)},
                                         {"source", isChanged ? "the command line" : source.text}};
  }
  return json::Object{
      {"target", json::Object{{"name", s.target},
                              {"chiplets", s.chiplets},
                              {"workers", s.workers},
                              {"lds", s.lds},
                              {"l2", s.l2},
                              {"hbm_gbs", s.hbmGbs}}},
      {"options", json::Object{{"prefetch", options.prefetch && !options.deal.isDynamic},
                               {"events", options.hierarchicalEvents ? "hierarchical" : "flat"},
                               {"scheduler", options.deal.isDynamic ? "dynamic" : "static"},
                               {"chiplets", options.deal.awareOfChiplets ? "aware" : "unaware"},
                               {"traversal", stringifyTraversal(options.deal.traversal)},
                               {"caches", options.isExact ? "lines" : "blocks"},
                               {"steps", options.steps}}},
      {"layers", s.layers},
      {"rows", s.rows},
      {"measured", result.isMeasured},
      {"step_us", result.ns / 1000},
      {"floor_us", json::Object{{"hbm", floor.hbm / 1000}, {"matrix", floor.matrix / 1000}}},
      {"bytes", json::Object{{"compulsory", result.compulsory},
                             {"hbm_read", result.hbmReads},
                             {"hbm_written", result.hbmWrites},
                             {"l2_requested", result.l2Requests},
                             {"l2_missed", result.l2Requests - result.l2Hits}}},
      {"l2_hit_rate", ratio(result.l2Hits, result.l2Requests)},
      {"mall_hit_rate", ratio(result.mallHits, result.mallRequests)},
      {"flops", result.flops},
      {"counts", json::Object{{"device_tasks", static_cast<int64_t>(s.tasks.size())},
                              {"cu_tasks", static_cast<int64_t>(s.cuTasks.size())},
                              {"tasks_run", result.tasksRun},
                              {"signals", result.signals},
                              {"device_signals", result.deviceSignals},
                              {"exchanges", result.exchanges},
                              {"write_backs", result.writeBacks}}},
      {"mean_worker_us", std::move(times)},
      {"workers", std::move(workers)},
      {"critical_path", json::Object{{"exchanges", path.exchanges},
                                     {"compute_us", path.compute / 1000},
                                     {"bandwidth_us", path.bandwidth / 1000},
                                     {"activations_us", path.activations / 1000},
                                     {"event_us", path.event / 1000},
                                     {"dispatch_us", path.dispatch / 1000},
                                     {"signal_us", path.signal / 1000},
                                     {"tasks", std::move(critical)}}},
      {"bodies", std::move(bodies)},
      {"parameters", std::move(parameters)}};
}

void fleet::sim::printText(const Result &result, const Options &options, llvm::raw_ostream &os) {
  const Schedule &s = result.schedule;
  Floor floor = floorOf(result, options);
  auto line = [&](const char *name) -> llvm::raw_ostream & { return os << llvm::left_justify(name, 16); };
  line("target") << s.target << ", " << s.chiplets << " x " << s.workers << " workers\n";
  line("step") << llvm::format("%.1f us", result.ns / 1000) << llvm::format("; floor by HBM %.1f us", floor.hbm / 1000)
               << llvm::format(", by matrix units %.1f us\n", floor.matrix / 1000);
  line("HBM") << llvm::format("%.3f MB read", result.hbmReads / 1e6)
              << llvm::format(", %.4f x compulsory", ratio(result.hbmReads, result.compulsory))
              << llvm::format(", %.1f GB/s\n", result.ns > 0 ? result.hbmReads / result.ns : 0);
  line("L2") << llvm::format("%.1f %% hits", 100 * ratio(result.l2Hits, result.l2Requests))
             << llvm::format(" of %.3f MB\n", result.l2Requests / 1e6);
  if (result.mallRequests)
    line("MALL") << llvm::format("%.1f %% hits", 100 * ratio(result.mallHits, result.mallRequests))
                 << llvm::format(" of %.3f MB\n", result.mallRequests / 1e6);
  line("tasks") << s.tasks.size() << " device tasks, " << s.cuTasks.size() << " cu tasks, " << result.signals
                << " signals, " << result.deviceSignals << " of them to the device, " << result.writeBacks << " write backs\n";
  line("mean worker");
  const char *between = "";
  for (const Share &share : kShares) {
    os << between << share.name << llvm::format(" %.1f %%", result.ns > 0 ? 100 * mean(result, share.member) / result.ns : 0);
    between = ", ";
  }
  os << "\n";
  Path path = pathOf(result);
  line("critical path") << result.critical.size() << " tasks, " << path.exchanges << " exchanges: "
                        << llvm::format("compute %.1f us, ", path.compute / 1000)
                        << llvm::format("bandwidth %.1f, ", path.bandwidth / 1000)
                        << llvm::format("activations %.1f, ", path.activations / 1000)
                        << llvm::format("events %.1f, ", path.event / 1000)
                        << llvm::format("dispatch %.1f, ", path.dispatch / 1000)
                        << llvm::format("signals %.1f\n", path.signal / 1000);
}

void fleet::sim::printTrace(const Result &result, llvm::raw_ostream &os) {
  const Schedule &s = result.schedule;
  json::OStream j(os);
  auto event = [&](StringRef phase, StringRef name, StringRef category, uint32_t worker, double ns) {
    j.attribute("ph", phase);
    j.attribute("name", name);
    j.attribute("cat", category);
    j.attribute("pid", worker / s.workers);
    j.attribute("tid", static_cast<int64_t>(worker));
    j.attribute("ts", ns / 1000);
  };
  auto span = [&](StringRef name, StringRef category, uint32_t worker, double begin, double end) {
    if (end <= begin)
      return;
    j.object([&] {
      event("X", name, category, worker, begin);
      j.attribute("dur", (end - begin) / 1000);
    });
  };
  j.objectBegin();
  j.attribute("displayTimeUnit", "ns");
  j.attributeBegin("traceEvents");
  j.arrayBegin();
  auto nameOf = [&](StringRef what, int64_t pid, std::optional<int64_t> tid, const std::string &name) {
    j.object([&] {
      j.attribute("ph", "M");
      j.attribute("name", what);
      j.attribute("pid", pid);
      if (tid)
        j.attribute("tid", *tid);
      j.attributeObject("args", [&] { j.attribute("name", name); });
    });
  };
  for (int64_t c = 0; c < s.chiplets; ++c) {
    nameOf("process_name", c, std::nullopt, "chiplet " + std::to_string(c));
    for (int64_t w = 0; w < s.workers; ++w)
      nameOf("thread_name", c, c * s.workers + w, "worker " + std::to_string(w));
  }
  for (size_t i = 0; i < s.cuTasks.size(); ++i) {
    const CuTask &cu = s.cuTasks[i];
    const CuRecord &r = result.records[i];
    span("dispatch", "dispatch", cu.worker, r.taken, r.waits);
    span("wait", "wait", cu.worker, r.waits, r.runs);
    j.object([&] {
      event("X", bodyOf(result, i), "task", cu.worker, r.runs);
      j.attribute("dur", (r.ran - r.runs) / 1000);
      j.attributeObject("args", [&] {
        const DeviceTask &task = s.tasks[cu.task];
        j.attribute("task", static_cast<int64_t>(cu.task));
        j.attribute("bandwidth_us", r.bandwidth / 1000);
        j.attribute("activations_us", r.activations / 1000);
        j.attributeArray("waits", [&] {
          for (uint32_t wait : task.waits)
            j.value(static_cast<int64_t>(wait));
        });
        j.attributeArray("chiplet_waits", [&] {
          for (uint32_t wait : task.chipletWaits)
            j.value(static_cast<int64_t>(wait));
        });
        j.attributeArray("pieces", [&] {
          for (uint32_t piece : cu.pieces)
            j.value(static_cast<int64_t>(piece));
        });
      });
    });
    span("signal", "signal", cu.worker, r.ran, r.done);
  }
  // Fetches overlap with all of it: asynchronous events, beside the worker's own.
  for (const Fetch &fetch : result.fetches)
    for (bool isBegin : {true, false})
      j.object([&] {
        event(isBegin ? "b" : "e", bodyOf(result, fetch.cuTask), "fetch", fetch.worker,
              isBegin ? fetch.begin : fetch.end);
        j.attribute("id", static_cast<int64_t>(fetch.cuTask));
      });
  j.arrayEnd();
  j.attributeEnd();
  j.objectEnd();
  os << "\n";
}
