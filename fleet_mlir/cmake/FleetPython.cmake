# Source groups of MLIR's own bindings, declared again over `_bindings_src` (the
# layout of an installed src/python: one folder a group). The op classes are
# generated from the installed .td files, so that they match libMLIR.

function(py_pure name parent)
  declare_mlir_python_sources(${name} ROOT_DIR "${_bindings_src}/${name}"
    ADD_TO_PARENT ${parent} SOURCES_GLOB "*.py" "*.pyi" "*.typed")
endfunction()

# ARGN: sources. Links LLVM (the shared library), never LLVMSupport (static).
function(py_ext name module parent)
  declare_mlir_python_extension(${name} MODULE_NAME ${module} ADD_TO_PARENT ${parent}
    ROOT_DIR "${_bindings_src}/${name}" SOURCES ${ARGN} PRIVATE_LINK_LIBS LLVM)
endfunction()

# py_dialect(NAME [EXTENDS dialect] TD a.td [b.td...] [ENUM_TD e.td | ENUM])
function(py_dialect name)
  cmake_parse_arguments(A "ENUM" "ENUM_TD;EXTENDS" "TD" ${ARGN})
  set(D MLIRPythonSources.Dialects)
  py_pure(${D}.${name} ${D})
  set(gen "${CMAKE_CURRENT_BINARY_DIR}/opgen/${name}")
  set(td "${gen}/${name}.td")
  list(TRANSFORM A_TD REPLACE "(.+)" "include \"mlir/\\1\"\n" OUTPUT_VARIABLE inc)
  string(CONCAT inc ${inc})
  file(CONFIGURE OUTPUT "${td}" CONTENT "${inc}" @ONLY)
  set(flags -gen-python-op-bindings -bind-dialect=${name})
  if(A_EXTENDS)
    set(flags -gen-python-op-bindings -bind-dialect=${A_EXTENDS} -dialect-extension=${name})
  endif()
  set(LLVM_TARGET_DEFINITIONS "${td}")
  mlir_tablegen(opgen/${name}/dialects/_${name}_ops_gen.py ${flags})
  set(srcs dialects/_${name}_ops_gen.py)
  if(A_ENUM OR A_ENUM_TD)
    if(A_ENUM_TD)
      set(LLVM_TARGET_DEFINITIONS "${MLIR_INCLUDE_DIRS}/mlir/${A_ENUM_TD}")
    endif()
    mlir_tablegen(opgen/${name}/dialects/_${name}_enum_gen.py -gen-python-enum-bindings)
    list(APPEND srcs dialects/_${name}_enum_gen.py)
  endif()
  add_public_tablegen_target(${D}.${name}.tablegen)
  declare_mlir_python_sources(${D}.${name}.ops_gen ROOT_DIR "${gen}"
    ADD_TO_PARENT ${D}.${name} SOURCES ${srcs})
endfunction()

declare_mlir_python_sources(MLIRPythonSources)
declare_mlir_python_sources(MLIRPythonSources.Core ADD_TO_PARENT MLIRPythonSources)
declare_mlir_python_sources(MLIRPythonSources.Dialects ADD_TO_PARENT MLIRPythonSources)
py_pure(MLIRPythonSources.Core.Python MLIRPythonSources.Core)
py_pure(MLIRPythonSources.Core.Python.Extras MLIRPythonSources.Core)
declare_mlir_python_extension(MLIRPythonExtension.MLIRPythonSupport _PRIVATE_SUPPORT_LIB
  MODULE_NAME MLIRPythonSupport ADD_TO_PARENT MLIRPythonSources.Core
  ROOT_DIR "${_bindings_src}/MLIRPythonExtension.MLIRPythonSupport"
  SOURCES Globals.cpp IRAttributes.cpp IRCore.cpp IRTypes.cpp)
py_ext(MLIRPythonExtension.Core _mlir MLIRPythonSources.Core
  MainModule.cpp IRAffine.cpp IRInterfaces.cpp Pass.cpp Rewrite.cpp)
py_ext(MLIRPythonExtension.RegisterEverything _mlirRegisterEverything MLIRPythonSources.Core
  RegisterEverything.cpp)

py_dialect(builtin TD IR/BuiltinOps.td)
py_dialect(affine TD Dialect/Affine/IR/AffineOps.td ENUM)
py_dialect(amdgpu TD Dialect/AMDGPU/IR/AMDGPU.td ENUM)
py_dialect(arith TD Dialect/Arith/IR/ArithOps.td ENUM)
py_dialect(bufferization TD Dialect/Bufferization/IR/BufferizationOps.td
  ENUM_TD Dialect/Bufferization/IR/BufferizationEnums.td)
py_dialect(cf TD Dialect/ControlFlow/IR/ControlFlowOps.td)
py_dialect(complex TD Dialect/Complex/IR/ComplexOps.td)   # linalg opdsl imports it
py_dialect(func TD Dialect/Func/IR/FuncOps.td)
py_dialect(gpu TD Dialect/GPU/IR/GPUOps.td ENUM)
py_dialect(index TD Dialect/Index/IR/IndexOps.td ENUM)
py_dialect(linalg TD Dialect/Linalg/IR/LinalgOps.td Dialect/Linalg/IR/LinalgStructuredOps.td
  Dialect/Linalg/IR/LinalgRelayoutOps.td ENUM)
py_dialect(llvm TD Dialect/LLVMIR/LLVMOps.td Dialect/LLVMIR/LLVMIntrinsicOps.td ENUM)
py_dialect(math TD Dialect/Math/IR/MathOps.td)
py_dialect(memref TD Dialect/MemRef/IR/MemRefOps.td)
py_dialect(nvvm TD Dialect/LLVMIR/NVVMOps.td ENUM)
py_dialect(rocdl TD Dialect/LLVMIR/ROCDLOps.td)
py_dialect(scf TD Dialect/SCF/IR/SCFOps.td)
py_dialect(tensor TD Dialect/Tensor/IR/TensorOps.td)
py_dialect(transform TD Dialect/Transform/IR/TransformOps.td
  ENUM_TD Dialect/Transform/IR/TransformAttrs.td)
py_dialect(structured_transform EXTENDS transform
  TD Dialect/Linalg/TransformOps/LinalgTransformOps.td
  ENUM_TD Dialect/Linalg/TransformOps/LinalgTransformEnums.td)
py_dialect(loop_transform EXTENDS transform TD Dialect/SCF/TransformOps/SCFTransformOps.td
  Dialect/Transform/LoopExtension/LoopExtensionOps.td)
py_dialect(bufferization_transform EXTENDS transform
  TD Dialect/Bufferization/TransformOps/BufferizationTransformOps.td)
py_dialect(vector TD Dialect/Vector/IR/VectorOps.td ENUM_TD Dialect/Vector/IR/VectorAttributes.td)

set(D MLIRPythonSources.Dialects)
set(E MLIRPythonExtension)
py_pure(${D}.transform.extras ${D}.transform)
py_pure(${D}.transform.interpreter ${D}.transform)
py_ext(${E}.Dialects.AMDGPU.Nanobind _mlirDialectsAMDGPU ${D}.amdgpu DialectAMDGPU.cpp)
py_ext(${E}.Dialects.GPU.Nanobind _mlirDialectsGPU ${D}.gpu DialectGPU.cpp)
py_ext(${E}.GPUDialectPasses _mlirGPUPasses ${D}.gpu GPUPasses.cpp)
py_ext(${E}.Dialects.Linalg.Nanobind _mlirDialectsLinalg ${D}.linalg DialectLinalg.cpp)
py_ext(${E}.LinalgPasses _mlirLinalgPasses ${D}.linalg LinalgPasses.cpp)
py_ext(${E}.Dialects.LLVM.Nanobind _mlirDialectsLLVM ${D}.llvm DialectLLVM.cpp)
py_ext(${E}.Dialects.Transform.Nanobind _mlirDialectsTransform ${D}.transform DialectTransform.cpp)
py_ext(${E}.TransformInterpreter _mlirTransformInterpreter ${D}.transform TransformInterpreter.cpp)

# --- ours ------------------------------------------------------------------
declare_mlir_python_sources(FleetPythonSources)
declare_mlir_dialect_python_bindings(ADD_TO_PARENT FleetPythonSources
  ROOT_DIR "${CMAKE_CURRENT_SOURCE_DIR}/lib" TD_FILE dialects/FleetOps.td
  SOURCES dialects/fleet.py DIALECT_NAME fleet GEN_ENUM_BINDINGS)
# The suffix is the place in which MLIR's package looks for initialisers.
declare_mlir_python_extension(FleetPythonSources.SiteInit MODULE_NAME _site_initialize_0
  ADD_TO_PARENT FleetPythonSources ROOT_DIR "${CMAKE_CURRENT_SOURCE_DIR}/lib"
  SOURCES SiteInitialize.cpp PRIVATE_LINK_LIBS LLVM)
declare_mlir_python_extension(FleetPythonSources.Extension MODULE_NAME _fleet
  ADD_TO_PARENT FleetPythonSources ROOT_DIR "${CMAKE_CURRENT_SOURCE_DIR}/lib"
  SOURCES FleetExtension.cpp PRIVATE_LINK_LIBS LLVM)

# --- the one library that holds the C API ----------------------------------
# add_mlir_python_common_capi_library() needs aggregate objects, which packaged
# LLVMs do not install. The same by hand: libMLIRCAPI*.a as files (as targets
# they would pull in the static libMLIR*.a), whole, over the shared libMLIR.
set(_capi)
foreach(l Debug IR Interfaces Func Conversion Transforms RegisterEverything
          AMDGPU GPU Linalg LLVM Target TransformDialect TransformDialectTransforms)
  list(APPEND _capi "$<TARGET_FILE:MLIRCAPI${l}>")
endforeach()
add_library(FleetPythonCAPI SHARED lib/FleetCAPI.cpp)
add_dependencies(FleetPythonCAPI FleetIncGen)
target_include_directories(FleetPythonCAPI PRIVATE lib)
target_link_libraries(FleetPythonCAPI PRIVATE FleetPipelines
  -Wl,--whole-archive ${_capi} -Wl,--no-whole-archive MLIR LLVM)
set_target_properties(FleetPythonCAPI PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY "${FLEET_PY_ROOT}/_mlir_libs"
  BUILD_RPATH "$ORIGIN;${LLVM_LIBRARY_DIR}" INSTALL_RPATH "$ORIGIN;${LLVM_LIBRARY_DIR}")
install(TARGETS FleetPythonCAPI COMPONENT FleetPythonModules
  LIBRARY DESTINATION "${FLEET_PY_INSTALL}/_mlir_libs")

add_mlir_python_modules(FleetPythonModules
  ROOT_PREFIX "${FLEET_PY_ROOT}" INSTALL_PREFIX "${FLEET_PY_INSTALL}"
  DECLARED_SOURCES MLIRPythonSources FleetPythonSources
  COMMON_CAPI_LINK_LIBS FleetPythonCAPI)

# AddMLIRPython links the support library to the static LLVMSupport: use the shared one.
set(_support FleetPythonModules.extension.MLIRPythonSupport-fleet.so)
get_target_property(_libs ${_support} LINK_LIBRARIES)
list(TRANSFORM _libs REPLACE "^LLVMSupport$" "LLVM")
set_target_properties(${_support} PROPERTIES LINK_LIBRARIES "${_libs}")
