//===- GroupWeights.h - Weights in the order of MFMA operands ---*- C++ -*-===//
//
// Part of Fleet, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef FLEET_LIB_CONVERSION_AMDGPU_GROUPWEIGHTS_H
#define FLEET_LIB_CONVERSION_AMDGPU_GROUPWEIGHTS_H

#include <cstdint>

namespace mlir::fleet {
/// Contracted elements of one column that stand together: 16 bytes of bf16.
constexpr int64_t kWeightGroup = 8;
} // namespace mlir::fleet

#endif // FLEET_LIB_CONVERSION_AMDGPU_GROUPWEIGHTS_H
