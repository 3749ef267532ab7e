//===- fleet-sim.cpp - Runs a schedule on a model of its chip
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "fleet/InitAll.h"
#include "fleet/Sim/Simulator.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/ToolOutputFile.h"

using namespace mlir;
namespace cl = llvm::cl;
namespace sim = fleet::sim;

/// A value of an option with two of them.
enum class Choice { First, Second };

static cl::opt<std::string> input(cl::Positional, cl::desc("<module of phase schedule or kernel>"), cl::init("-"));
static cl::opt<std::string> output("o", cl::desc("output file"), cl::init("-"));
static cl::opt<bool> asJSON("json", cl::desc("print JSON instead of a table"));
static cl::opt<bool> ablate("ablate", cl::desc("turn each switch off alone, then all of them"));
static cl::opt<bool> listParameters("list-parameters", cl::desc("print the parameters with their sources"));
static cl::opt<std::string> trace("trace", cl::desc("write a trace for Perfetto or Chrome"));
static cl::opt<std::string> stamps("stamps", cl::desc("do not simulate: take the times that a kernel has left, from this file"));
static cl::opt<int64_t> context("context", cl::desc("positions that the rows attend to (default: all)"), cl::init(0));
static cl::opt<int64_t> steps("steps", cl::desc("steps to run; the last is reported, with warm caches"), cl::init(1));
static cl::opt<bool> exact("exact", cl::desc("caches of lines in sets, for small schedules"));
static cl::opt<bool> prefetch("prefetch", cl::desc("fetch weights ahead of the events"));
static cl::opt<Choice> events("events", cl::desc("levels of counters"), cl::init(Choice::First),
                              cl::values(clEnumValN(Choice::First, "hierarchical", "one arrival a chiplet at the device's counter"),
                                         clEnumValN(Choice::Second, "flat", "one arrival a worker")));
static cl::opt<Choice> scheduler("scheduler", cl::desc("who hands out tasks"), cl::init(Choice::First),
                                 cl::values(clEnumValN(Choice::First, "static", "queues, filled when compiling"),
                                            clEnumValN(Choice::Second, "dynamic", "one worker of each chiplet")));
static cl::opt<Choice> chiplets("chiplets", cl::desc("how tiles are bound"), cl::init(Choice::First),
                                cl::values(clEnumValN(Choice::First, "aware", "as compiled"),
                                           clEnumValN(Choice::Second, "unaware", "over all workers in turn, each tile a task")));
static cl::opt<fleet::Traversal>
    traversal("traversal", cl::desc("order of tiles"), cl::init(fleet::Traversal::FullM),
              cl::values(clEnumValN(fleet::Traversal::FullM, "full_m", "a tile takes all rows"),
                         clEnumValN(fleet::Traversal::MMajor, "m_major", "the row tiles of a column tile run together"),
                         clEnumValN(fleet::Traversal::NMajor, "n_major", "the column tiles of a row tile run together")));
static cl::opt<int64_t> rowTile("row-tile", cl::desc("rows of a tile where the traversal is not full_m"), cl::init(16));
static cl::list<std::string> groups("group", cl::desc("BODY:N makes N tiles of a body one piece of work"),
                                    cl::CommaSeparated);
static cl::list<std::string> parameters("parameter", cl::desc("NAME=VALUE instead of the chip's value"));

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return 1;
}

/// The switches that an ablation turns off, one by one.
struct Switch {
  const char *name;
  void (*turnOff)(sim::Options &);
};
static constexpr Switch kSwitches[] = {
    {"prefetch", [](sim::Options &o) { o.prefetch = false; }},
    {"hierarchical events", [](sim::Options &o) { o.hierarchicalEvents = false; }},
    {"static queues", [](sim::Options &o) { o.deal.isDynamic = true; }},
    {"chiplet binding", [](sim::Options &o) { o.deal.awareOfChiplets = false; }},
    {"full_m traversal", [](sim::Options &o) { o.deal.traversal = fleet::Traversal::NMajor; }},
};

static LogicalResult printAblation(const sim::Schedule &schedule, const sim::Options &base, llvm::raw_ostream &os,
                                   std::string &error) {
  llvm::json::Array rows;
  double first = 0;
  auto run = [&](StringRef name, const sim::Options &options) -> LogicalResult {
    FailureOr<sim::Result> result = sim::simulate(schedule, options, error);
    if (failed(result))
      return failure();
    double us = result->ns / 1000, hits = result->l2Requests ? 100.0 * result->l2Hits / result->l2Requests : 0;
    if (rows.empty()) {
      first = us;
      if (!asJSON)
        os << llvm::left_justify("without", 24) << "   step us  against   L2 hits     HBM MB   signals\n";
    }
    if (!asJSON)
      os << llvm::left_justify(name, 24) << llvm::format("%10.1f %7.2fx %8.1f %% %10.1f %9lld\n", us, us / first, hits,
                                                         result->hbmReads / 1e6, static_cast<long long>(result->signals));
    rows.push_back(llvm::json::Object{{"without", name},
                                      {"step_us", us},
                                      {"l2_hit_rate", hits / 100},
                                      {"hbm_read", result->hbmReads},
                                      {"signals", result->signals}});
    return success();
  };
  if (failed(run("nothing", base)))
    return failure();
  sim::Options none = base;
  for (const Switch &one : kSwitches) {
    sim::Options options = base;
    one.turnOff(options);
    if (options.deal.isDynamic && schedule.workers < 2)
      continue; // no worker is left to run what the scheduler hands out
    one.turnOff(none);
    if (failed(run(one.name, options)))
      return failure();
  }
  if (failed(run("all of them", none)))
    return failure();
  if (asJSON)
    os << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(rows)));
  return success();
}

static LogicalResult readOptions(sim::Options &options, const sim::Schedule &schedule, std::string &error) {
  options.parameters = sim::parametersOf(schedule.target, schedule.backend);
  for (const std::string &assignment : parameters)
    if (!sim::setParameter(options.parameters, assignment, error))
      return failure();
  // What is not given is what the schedule was compiled for.
  options.prefetch = prefetch.getNumOccurrences() ? prefetch : schedule.prefetch;
  options.hierarchicalEvents = events.getNumOccurrences() ? events == Choice::First : schedule.hierarchicalEvents;
  options.isExact = exact;
  options.steps = steps;
  options.deal = schedule.deal;
  if (chiplets.getNumOccurrences())
    options.deal.awareOfChiplets = chiplets == Choice::First;
  if (scheduler.getNumOccurrences())
    options.deal.isDynamic = scheduler == Choice::Second;
  options.deal.traversal = traversal;
  options.deal.rowTile = rowTile;
  for (const std::string &group : groups) {
    std::pair<StringRef, StringRef> parts = StringRef(group).split(':');
    int64_t tiles;
    bool isKnown = llvm::any_of(schedule.bodies, [&](const sim::Body &body) { return parts.first == body.name; });
    if (parts.second.getAsInteger(10, tiles) || tiles < 1 || !isKnown) {
      error = "expected --group=BODY:N, a body of the schedule and a number of at least 1, found '" + group + "'";
      return failure();
    }
    options.deal.groups.push_back({parts.first.str(), tiles});
  }
  return success();
}

static void printParameters(const sim::Schedule &schedule, const sim::Options &options, llvm::raw_ostream &os) {
  auto sources = sim::parameterSourcesOf(schedule.target, schedule.backend);
  const sim::Parameters &known = sim::parametersOf(schedule.target, schedule.backend);
  for (auto [info, source] : llvm::zip_equal(sim::parameterInfos(), sources)) {
    bool isGiven = known.*info.member != options.parameters.*info.member;
    os << llvm::left_justify(info.name, 20) << llvm::format("%12g ", options.parameters.*info.member)
       << llvm::left_justify(info.unit, 10) << llvm::left_justify(isGiven ? "given" : sim::toString(source.origin), 10)
       << info.meaning << "; " << (isGiven ? "the command line" : source.text) << "\n";
  }
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::ParseCommandLineOptions(argc, argv, "Fleet: runs a schedule on a model of its chip\n");
  if (steps < 1)
    return fail("expected --steps of at least 1, found " + llvm::Twine(steps));
  if (rowTile < 1)
    return fail("expected --row-tile of at least 1, found " + llvm::Twine(rowTile));
  if (context < 0)
    return fail("expected --context of at least 0, found " + llvm::Twine(context));
  DialectRegistry registry;
  fleet::registerAllDialects(registry);
  MLIRContext mlir(registry, MLIRContext::Threading::DISABLED);
  mlir.allowUnregisteredDialects();
  mlir.printOpOnDiagnostic(false);
  std::string error;
  auto buffer = openInputFile(input, &error);
  if (!buffer)
    return fail(error);
  llvm::SourceMgr manager;
  manager.AddNewSourceBuffer(std::move(buffer), llvm::SMLoc());
  SourceMgrDiagnosticHandler diagnostics(manager, &mlir);
  OwningOpRef<ModuleOp> module = parseSourceFile<ModuleOp>(manager, &mlir);
  if (!module)
    return 1;
  FailureOr<sim::Schedule> schedule = sim::readSchedule(*module, context);
  if (failed(schedule))
    return 1;
  sim::Options options;
  if (failed(readOptions(options, *schedule, error)))
    return fail(error);
  auto file = openOutputFile(output, &error);
  if (!file)
    return fail(error);
  if (listParameters) {
    printParameters(*schedule, options, file->os());
    file->keep();
    return 0;
  }
  if (ablate) {
    if (failed(printAblation(*schedule, options, file->os(), error)))
      return fail(error);
    file->keep();
    return 0;
  }
  FailureOr<sim::Result> result = failure();
  if (stamps.empty()) {
    result = sim::simulate(std::move(*schedule), options, error);
  } else if (auto measured = openInputFile(stamps, &error)) {
    result = sim::readStamps(std::move(*schedule), measured->getBuffer(), error);
  }
  if (failed(result))
    return fail(error);
  if (!trace.empty()) {
    auto traceFile = openOutputFile(trace, &error);
    if (!traceFile)
      return fail(error);
    sim::printTrace(*result, traceFile->os());
    traceFile->keep();
  }
  if (asJSON)
    file->os() << llvm::formatv("{0:2}\n", llvm::json::Value(sim::toJSON(*result, options)));
  else
    sim::printText(*result, options, file->os());
  file->keep();
  return 0;
}
