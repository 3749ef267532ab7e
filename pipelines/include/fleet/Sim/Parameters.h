//===- Parameters.h - What a chip's operations cost
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_SIM_PARAMETERS_H
#define FLEET_SIM_PARAMETERS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace mlir::fleet::sim {
/// Costs that a simulation needs beside the facts of `#fleet.target`. Rates are in
/// GB/s (1e9), times in nanoseconds, sizes in bytes; a rate of 0 is no limit and a
/// cache of 0 bytes does not exist. Values and their sources: Parameters.cpp.
struct Parameters {
  double hbmEfficiency, hbmNs;
  double mallBytes, mallGbs, mallNs, fabricGbs;
  double l2Gbs, l2Ns, workerGbs, readGbs, loadBytes;
  double localAtomicNs, localServiceNs, deviceServiceNs, flagNs, releaseNs, acquireNs;
  double dispatchNs, schedulerNs, broadcastNs;
  double matrixGflops, matrixRows, ldsGbs, vectorGops, reductionNs, tileNs, addGbs;
  double togetherNs, roundNs, warpgroupSlotNs, positionsNs, copiedPositionsNs, fewPositionsNs, rowNs;
  double slotBytes, ringReserve;
  double launchNs;
};

/// Where a value comes from.
enum class Origin {
  Vendor,   ///< a data sheet or white paper
  Measured, ///< measured on the chip, or published as measured
  Derived,  ///< computed from values of the first two
  Borrowed, ///< the value of a related chip
  Fitted,   ///< chosen so that the simulation meets a measured time
  Assumed   ///< a guess, to be replaced
};
llvm::StringRef toString(Origin origin);

/// One value of one chip, as listed.
struct ParameterInfo {
  const char *name;
  const char *unit;
  double Parameters::*member;
  const char *meaning;
};
/// All parameters, in the order of the struct.
llvm::ArrayRef<ParameterInfo> parameterInfos();

struct ParameterSource {
  Origin origin;
  const char *text;
};

/// The parameters of the chip called `target`; one that is not known has those of the chip
/// named by `backend` (rocdl: gfx950, nvvm: sm_90a, else cpu).
const Parameters &parametersOf(llvm::StringRef target, llvm::StringRef backend);
/// The source of each value that `parametersOf` gives, in the order of `parameterInfos`.
llvm::ArrayRef<ParameterSource> parameterSourcesOf(llvm::StringRef target, llvm::StringRef backend);

/// Applies `name=value`; false, with a sentence in `error`, if there is no such parameter or value.
bool setParameter(Parameters &parameters, llvm::StringRef assignment, std::string &error);
} // namespace mlir::fleet::sim

#endif // FLEET_SIM_PARAMETERS_H
