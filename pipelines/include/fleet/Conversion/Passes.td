#ifndef FLEET_CONVERSION_PASSES_TD
#define FLEET_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def CPUDriver : Pass<"fleet-cpu-driver", "::mlir::ModuleOp"> {
  let summary = "replace the persistent kernel by a walk of all queues on one core";
  let description = [{
    Input: a module with one `gpu.module` of the kernel phase. Output: its
    functions and tables in the module itself, without memory spaces, and
    `@fleet_step(params, state, work, input, output : memref<?xi8>, epoch : i32)`.
    The walk takes the queues in turn and runs what is ready, so that the
    schedule is executed as it stands. If no queue can go on, the status in the
    output arena is [1, worker, device task waited for, epoch], else zeros.
    Fails if the tables or the attributes of the `gpu.module` are missing.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect"];
}

def CPULowerNamedOps : Pass<"fleet-cpu-lower-named-ops"> {
  let summary = "lower the named ops on memrefs to loops on vectors";
  let description = [{
    Input: fleet.gather, rms_norm, layer_norm, rope, attention, argmax on memrefs
    of static shape. Output: scf loops with vectors of at most 16 elements,
    arithmetic in f32, reductions in a fixed order. Attention is an online
    softmax over blocks of 64 positions. Fails on tensors and on buffers whose
    last dimension is strided.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::vector::VectorDialect"];
}

def CPULowerContractions : Pass<"fleet-cpu-lower-contractions"> {
  let summary = "lower linalg.matmul to register blocks";
  let description = [{
    Input: linalg.matmul on memrefs of static shape, columns a multiple of 16,
    f32 accumulator. Output: blocks of at most 24 accumulators of 16 elements,
    the contracted dimension innermost. bf16 columns are widened two at a time
    (a shift and a mask), which keeps even and odd columns in registers of their
    own until the end. Other contractions are left to the loops.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def CPUVectorizeElementwise : Pass<"fleet-cpu-vectorize-elementwise"> {
  let summary = "lower the remaining linalg ops to loops on vectors";
  let description = [{
    Input: linalg ops and memref.copy on memrefs. Output: scf loops; the innermost
    one on vectors of 16 elements with a scalar rest where every operand is
    contiguous or constant along it, else scalar.
  }];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def CPULowerMath : Pass<"fleet-cpu-lower-math"> {
  let summary = "lower math functions to arithmetic, so that no library is called";
  let description = [{
    Input: math and bf16 arithmetic on scalars and vectors. Output: f32 arithmetic
    and intrinsics that every CPU has. sin and cos reduce their argument in three
    parts (good to 1e-7 up to 1e5), the others are MLIR's approximations.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::vector::VectorDialect"];
}

def CPUFinalizeLLVM : Pass<"fleet-cpu-finalize-llvm", "::mlir::ModuleOp"> {
  let summary = "say what LLVM cannot see: no aliasing, no inlining of bodies, linkage";
  let description = [{
    Input: the LLVM dialect. Output: everything but `@fleet_step` internal; the
    buffers of task bodies (marked `fleet.body` by the driver) do not alias.
  }];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect"];
}

#endif // FLEET_CONVERSION_PASSES_TD
