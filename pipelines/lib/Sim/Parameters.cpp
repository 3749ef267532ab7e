//===- Parameters.cpp - What a chip's operations cost
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// Every cost that the simulator knows stands in the table below and nowhere else. Chiplets,
// workers, LDS, L2 and HBM bandwidth are facts of `#fleet.target`.

#include "fleet/Sim/Parameters.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

#include <array>

using namespace mlir::fleet::sim;
using llvm::ArrayRef;
using llvm::StringRef;

namespace {
struct Value {
  double value;
  ParameterSource source;
};
constexpr int kChips = 4;
constexpr const char *kChipNames[kChips] = {"cpu", "gfx942", "gfx950", "sm_90a"};

struct Row {
  ParameterInfo info;
  Value values[kChips];
};

constexpr Value vendor(double v, const char *s) { return {v, {Origin::Vendor, s}}; }
constexpr Value measured(double v, const char *s) { return {v, {Origin::Measured, s}}; }
constexpr Value derived(double v, const char *s) { return {v, {Origin::Derived, s}}; }
constexpr Value borrowed(double v, const char *s) { return {v, {Origin::Borrowed, s}}; }
constexpr Value fitted(double v, const char *s) { return {v, {Origin::Fitted, s}}; }
constexpr Value assumed(double v, const char *s) { return {v, {Origin::Assumed, s}}; }
/// The cpu target runs all queues on one thread: its times mean nothing, its bytes do.
constexpr Value noTime(double v) { return {v, {Origin::Assumed, "the cpu target is simulated for its bytes and order"}}; }

constexpr double kMiB = 1024 * 1024;

const Row kRows[] = {
    {{"hbm_efficiency", "1", &Parameters::hbmEfficiency, "share of hbm_gbs that a read stream reaches"},
     {noTime(1), measured(0.81, "MI300X read benchmarks, 3.94 to 4.3 of 5.3 TB/s"),
      borrowed(0.81, "that of MI300X; no read figure of an MI350X was found"),
      measured(0.913, "ring of 16 KB slots on an H200 that waits for nothing: 15.29 GB in 3.49 ms; a bare stream has 0.97")}},
    {{"hbm_ns", "ns", &Parameters::hbmNs, "latency of a load from HBM"},
     {noTime(90), measured(342, "MI300X pointer chase"), measured(500, "published MI355X model, MALL miss"),
      assumed(800, "as an L2 access under load, below; idle it is near 500")}},
    {{"mall_bytes", "B", &Parameters::mallBytes, "memory side cache"},
     {noTime(0), vendor(256 * kMiB, "CDNA 3 white paper"), vendor(256 * kMiB, "CDNA 4 white paper"),
      vendor(0, "none")}},
    {{"mall_gbs", "GB/s", &Parameters::mallGbs, "bandwidth of the memory side cache"},
     {noTime(0), measured(11900, "MI300X read benchmark"), borrowed(11900, "that of MI300X"), vendor(0, "none")}},
    {{"mall_ns", "ns", &Parameters::mallNs, "latency of a load from the memory side cache"},
     {noTime(90), measured(258, "MI300X pointer chase"), measured(300, "published MI355X model, L2 miss"),
      vendor(0, "none")}},
    {{"fabric_gbs", "GB/s", &Parameters::fabricGbs, "what one chiplet can take from outside its L2"},
     {noTime(0), derived(1488, "an eighth of mall_gbs"), derived(1488, "an eighth of mall_gbs"), vendor(0, "one die")}},
    {{"l2_gbs", "GB/s", &Parameters::l2Gbs, "bandwidth of the L2 of one chiplet"},
     {noTime(0), derived(4300, "16 channels of 128 B at 2.1 GHz"), derived(4915, "16 channels of 128 B at 2.4 GHz"),
      assumed(5500, "published H100 L2 read figures lie between 5.5 and 7 TB/s")}},
    {{"l2_ns", "ns", &Parameters::l2Ns, "latency of a load from the L2"},
     {noTime(4), measured(81, "MI300X pointer chase"), borrowed(81, "that of MI300X"),
      measured(800, "a round trip on an H200 under load: a third of what an exchange costs")}},
    {{"worker_gbs", "GB/s", &Parameters::workerGbs, "most that one worker takes in"},
     {noTime(0), derived(134, "64 B a clock at 2.1 GHz"), derived(154, "64 B a clock at 2.4 GHz"),
      derived(112, "64 B a clock at 1.755 GHz")}},
    {{"read_gbs", "GB/s", &Parameters::readGbs,
      "what one worker takes in of weights and activations together; no run uses it, tasks are cut by it"},
     {noTime(0), assumed(0, "no task of this chip is cut by it"), assumed(0, "no task of this chip is cut by it"),
      measured(51, "Qwen3-8B on an H200, batch 32: 1.55 MB of its last contraction in 60,000 cycles of 1,980 MHz")}},
    {{"load_bytes", "B", &Parameters::loadBytes, "what a worker has in flight when it reads beside the ring"},
     {noTime(0), assumed(16384, "4 loads of 16 bytes of each of 256 threads"),
      assumed(16384, "4 loads of 16 bytes of each of 256 threads"),
      assumed(16384, "4 loads of 16 bytes of each of 256 threads")}},
    {{"local_atomic_ns", "ns", &Parameters::localAtomicNs, "arrival at a counter of the own chiplet, there and back"},
     {noTime(4), assumed(81, "as a load from the L2"), assumed(81, "as a load from the L2"),
      borrowed(800, "as l2_ns; one chiplet has no second level, so no run uses it")}},
    {{"local_service_ns", "ns", &Parameters::localServiceNs, "time between two arrivals at one counter of a chiplet"},
     {noTime(0), assumed(2, "a few clocks of the L2"), assumed(2, "a few clocks of the L2"),
      derived(2, "132 arrivals take part in a barrier of 950 ns")}},
    {{"device_service_ns", "ns", &Parameters::deviceServiceNs, "time between two arrivals at one counter of the device"},
     {noTime(0), assumed(10, "a few clocks of the fabric, at one address"),
      assumed(10, "a few clocks of the fabric, at one address"),
      derived(2, "132 arrivals take part in a barrier of 950 ns")}},
    {{"flag_ns", "ns", &Parameters::flagNs, "from a device counter's last arrival until a poll elsewhere sees it"},
     {noTime(4), measured(703, "MI300X, one XCD to another, one way"),
      derived(590, "half of a far ping-pong of 1180 ns on an MI350"),
      fitted(2200, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 1 to 8; a chain of its matrices "
                   "alone has 2700")}},
    {{"release_ns", "ns", &Parameters::releaseNs, "write back of a chiplet's L2 before a device signal, one at a time"},
     {noTime(0), measured(115, "MI300X, agent release"), borrowed(115, "that of MI300X"),
      vendor(0, "the L2 is coherent; part of flag_ns")}},
    {{"acquire_ns", "ns", &Parameters::acquireNs, "invalidation after a wait"},
     {noTime(0), measured(137, "MI300X, agent acquire"), borrowed(137, "that of MI300X"),
      vendor(0, "part of flag_ns")}},
    {{"dispatch_ns", "ns", &Parameters::dispatchNs, "a worker takes the next entry of its queue"},
     {noTime(20), assumed(243, "three loads that depend on each other, from the L2"),
      assumed(243, "three loads that depend on each other, from the L2"),
      assumed(60, "the tables stand in shared memory")}},
    {{"scheduler_ns", "ns", &Parameters::schedulerNs, "a scheduler takes and hands out one task (scheduler=dynamic)"},
     {noTime(20), borrowed(900, "that of MI350X"),
      fitted(900, "the chiplet-unaware kernel of the Fleet paper on an MI350X, batch 1 to 64"),
      assumed(900, "as on the others")}},
    {{"broadcast_ns", "ns", &Parameters::broadcastNs, "from a scheduler to the workers of its chiplet"},
     {noTime(20), derived(346, "as on gfx950"), derived(346, "half of a near ping-pong of 692 ns on an MI350"),
      borrowed(800, "as l2_ns")}},
    {{"matrix_gflops", "GFLOP/s", &Parameters::matrixGflops, "dense bf16 on one worker's matrix units"},
     {noTime(100), vendor(4300, "1307 TFLOP/s of 304 CUs"), vendor(9000, "2.3 PFLOP/s of 256 CUs"),
      vendor(7490, "989 TFLOP/s of 132 SMs")}},
    {{"matrix_rows", "rows", &Parameters::matrixRows, "rows of a matrix instruction: fewer cost as many"},
     {noTime(1), vendor(16, "16x16x16"), vendor(16, "16x16x32"), vendor(8, "m16n8k16 with the rows as columns")}},
    {{"lds_gbs", "GB/s", &Parameters::ldsGbs, "reading the ring"},
     {noTime(0), derived(269, "128 B a clock at 2.1 GHz"), derived(307, "128 B a clock at 2.4 GHz"),
      derived(225, "128 B a clock at 1.755 GHz")}},
    {{"vector_gops", "Gop/s", &Parameters::vectorGops, "scalar operations of one worker"},
     {noTime(50), derived(134, "64 lanes at 2.1 GHz"), derived(154, "64 lanes at 2.4 GHz"),
      derived(225, "128 lanes at 1.755 GHz")}},
    {{"reduction_ns", "ns", &Parameters::reductionNs, "threads of a worker combine a value: shuffles, LDS, barrier"},
     {noTime(0), assumed(200, "some 400 clocks"), assumed(200, "some 400 clocks"), assumed(200, "some 350 clocks")}},
    {{"tile_ns", "ns", &Parameters::tileNs, "fixed cost of a tile: its sums over the waves, its end"},
     {noTime(0), assumed(200, "as reduction_ns"), assumed(200, "as reduction_ns"), assumed(200, "as reduction_ns")}},
    {{"add_gbs", "GB/s", &Parameters::addGbs, "what a worker adds to sums in memory that others add to, too"},
     {noTime(0), borrowed(0.4, "that of MI350X"),
      fitted(0.4, "the chiplet-unaware kernel of the Fleet paper on an MI350X, batch 8 to 64"),
      assumed(0, "no program of this chip does it")}},
    {{"together_ns", "ns", &Parameters::togetherNs,
      "end of a tile of many rows, of several that are computed together"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(850, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 8 and 16")}},
    {{"round_ns", "ns", &Parameters::roundNs, "that a chunk of activations of many rows takes beyond a load's latency"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(500, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 8 and 32")}},
    {{"warpgroup_slot_ns", "ns", &Parameters::warpgroupSlotNs,
      "a slot of the ring, for a warpgroup that multiplies it by many rows"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(250, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 32 and 64")}},
    {{"positions_ns", "ns", &Parameters::positionsNs,
      "that a warp's round of attention of many rows takes beyond a load's latency"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(1200, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 8 to 64")}},
    {{"copied_positions_ns", "ns", &Parameters::copiedPositionsNs,
      "the same where rounds are copied to shared memory"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(900, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 32 and 64")}},
    {{"few_positions_ns", "ns", &Parameters::fewPositionsNs,
      "that a warp's round of attention of few rows takes beyond a load's latency"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(5800, "Qwen3-8B compiled by Fleet on an H200, batch 1, context 8192")}},
    {{"row_ns", "ns", &Parameters::rowNs, "begin and end of a warp's row of attention"},
     {noTime(0), assumed(0, "no kernel of this chip does it"), assumed(0, "no kernel of this chip does it"),
      fitted(1000, "Qwen3-8B compiled by Fleet on an H200, context 1024, batch 8 to 64")}},
    {{"slot_bytes", "B", &Parameters::slotBytes, "a slot of the ring in LDS"},
     {noTime(16384), assumed(16384, "as on sm_90a"), assumed(16384, "as on sm_90a"),
      vendor(16384, "what fleet-nvgpu-stream-weights makes")}},
    {{"ring_reserve", "B", &Parameters::ringReserve, "LDS beside scratch and ring"},
     {noTime(0), assumed(4096, "as on sm_90a"), assumed(4096, "as on sm_90a"),
      vendor(4096, "what fleet-nvgpu-stream-weights leaves")}},
    {{"launch_ns", "ns", &Parameters::launchNs, "of a step, beside its kernel's work"},
     {noTime(0), assumed(0, "a resident kernel"), assumed(0, "a resident kernel"), assumed(0, "steps run in one launch")}},
};
constexpr size_t kCount = std::size(kRows);

struct Table {
  std::array<ParameterInfo, kCount> infos;
  std::array<Parameters, kChips> values{};
  std::array<std::array<ParameterSource, kCount>, kChips> sources;
  Table() {
    for (size_t i = 0; i < kCount; ++i) {
      infos[i] = kRows[i].info;
      for (int chip = 0; chip < kChips; ++chip) {
        values[chip].*kRows[i].info.member = kRows[i].values[chip].value;
        sources[chip][i] = kRows[i].values[chip].source;
      }
    }
  }
};
static_assert(sizeof(Parameters) == kCount * sizeof(double), "each parameter has a row");

const Table &table() {
  static const Table instance;
  return instance;
}

int chipOf(StringRef target, StringRef backend) {
  for (int chip = 0; chip < kChips; ++chip)
    if (target == kChipNames[chip])
      return chip;
  return llvm::StringSwitch<int>(backend).Case("rocdl", 2).Case("nvvm", 3).Default(0);
}
} // namespace

StringRef mlir::fleet::sim::toString(Origin origin) {
  constexpr const char *names[] = {"vendor", "measured", "derived", "borrowed", "fitted", "assumed"};
  return names[static_cast<int>(origin)];
}

ArrayRef<ParameterInfo> mlir::fleet::sim::parameterInfos() { return table().infos; }

const Parameters &mlir::fleet::sim::parametersOf(StringRef target, StringRef backend) {
  return table().values[chipOf(target, backend)];
}

ArrayRef<ParameterSource> mlir::fleet::sim::parameterSourcesOf(StringRef target, StringRef backend) {
  return table().sources[chipOf(target, backend)];
}

bool mlir::fleet::sim::setParameter(Parameters &parameters, StringRef assignment, std::string &error) {
  StringRef name, text;
  std::tie(name, text) = assignment.split('=');
  const auto *info = llvm::find_if(table().infos, [&](const ParameterInfo &i) { return name == i.name; });
  if (info == table().infos.end()) {
    error = ("expected the name of a parameter, found '" + name + "'").str();
    return false;
  }
  double value;
  if (text.getAsDouble(value) || !(value >= 0)) {
    error = ("expected " + name + "=NUMBER, a number of at least 0, found '" + text + "'").str();
    return false;
  }
  parameters.*info->member = value;
  return true;
}
