"""A vector of eight or more numbers for compiled kernels: `load`, arithmetic, `store`.

Left to itself, LLVM keeps the sums of a kernel that adds several rows in memory, or gives up on the
many pointers. With these types the sums of a strip of elements stay in registers while row after row
is added (measured: twice as fast), and the order of all operations is as written. LLVM splits the
vectors into what the processor has, so the bits are the same on all of them.

Values are float64 or 64-bit integers, whatever the array holds: narrower types widen in `load` and
narrow in `store`. Integer arithmetic is modulo 2**64.
"""

# ruff: noqa: ARG001 - numba decides which arguments a code generator takes

from __future__ import annotations

import operator
from typing import Any

import numba.core.cgutils
import numba.extending
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core.extending import models, register_model

cgutils: Any = numba.core.cgutils  # untyped, as are the decorators
intrinsic: Any = numba.extending.intrinsic
overload: Any = numba.extending.overload

_I32, _I64, _F64 = ir.IntType(32), ir.IntType(64), ir.DoubleType()


class Vector(types.Type):
    """Type of `lanes` float64 or 64-bit integers."""

    def __init__(self, lanes: int, floating: bool) -> None:
        self.lanes, self.floating = lanes, floating
        self.llvm = ir.VectorType(_F64 if floating else _I64, lanes)
        super().__init__(name=f"Vector({lanes}, {'float64' if floating else 'int64'})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, vector.llvm)  # type: ignore[no-untyped-call]


@intrinsic(prefer_literal=True)
def load(typing: Any, array: Any, row: Any, column: Any, lanes: Any) -> Any:
    """Load array[row, column : column + lanes] of a C-contiguous array."""
    vector = Vector(lanes.literal_value, isinstance(array.dtype, types.Float))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, element = _address(context, builder, array, args), context.get_data_type(array.dtype)
        packed = builder.bitcast(pointer, ir.VectorType(element, vector.lanes).as_pointer())
        value = builder.load(packed, align=array.dtype.bitwidth // 8)
        if array.dtype.bitwidth == 64:
            return value
        if vector.floating:
            return builder.fpext(value, vector.llvm)
        return (builder.sext if array.dtype.signed else builder.zext)(value, vector.llvm)

    return vector(array, types.intp, types.intp, lanes), generate


@intrinsic
def store(typing: Any, array: Any, row: Any, column: Any, value: Any) -> Any:
    """Store a vector as array[row, column : column + lanes]."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        packed, vector = args[3], ir.VectorType(context.get_data_type(array.dtype), value.lanes)
        if array.dtype.bitwidth < 64:
            packed = (builder.fptrunc if value.floating else builder.trunc)(packed, vector)
        pointer = builder.bitcast(_address(context, builder, array, args[:3]), vector.as_pointer())
        builder.store(packed, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, value), generate


@intrinsic(prefer_literal=True)
def splat(typing: Any, value: Any, lanes: Any) -> Any:
    """Make a vector of one repeated number."""
    vector = Vector(lanes.literal_value, isinstance(value, types.Float))
    number = types.float64 if vector.floating else types.int64

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(vector.llvm, ir.Undefined), args[0], ir.Constant(_I32, 0))
        return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(_I32, vector.lanes), None))

    return vector(number, lanes), generate


def _operation(floating: str, whole: str) -> Any:
    """Make an operation of two vectors from the names of the instructions for floats and integers."""

    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, floating if a.floating else whole)(*args)

        return a(a, b), generate

    return operation


def _overload(operate: Any, operation: Any) -> None:
    @overload(operate)
    def choose(a, b):  # type: ignore[no-untyped-def]  # numba compares with the lambda's signature
        if isinstance(a, Vector) and a == b:
            return lambda a, b: operation(a, b)
        return None


_overload(operator.add, _operation("fadd", "add"))
_overload(operator.sub, _operation("fsub", "sub"))
_overload(operator.mul, _operation("fmul", "mul"))
_overload(operator.truediv, _operation("fdiv", "udiv"))
_overload(operator.and_, _operation("", "and_"))
_overload(operator.rshift, _operation("", "lshr"))
_overload(operator.lshift, _operation("", "shl"))


@intrinsic
def multiply_add(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c of floats, in one rounding where the processor can."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(a.llvm, [a.llvm] * 3)
        name = f"llvm.fmuladd.v{a.lanes}f64"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)

    return a(a, b, c), generate


@intrinsic
def where_within(typing: Any, value: Any, limit: Any, then: Any, otherwise: Any) -> Any:
    """Choose lane by lane: `then` where |value| < limit, else (and for NaN) `otherwise`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(value.llvm, [value.llvm])
        name = f"llvm.fabs.v{value.lanes}f64"
        size = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args[:1])
        return builder.select(builder.fcmp_ordered("<", size, args[1]), args[2], args[3])

    return then(value, limit, then, otherwise), generate


@intrinsic
def where_positive(typing: Any, value: Any, then: Any, otherwise: Any) -> Any:
    """Choose lane by lane: `then` where float `value` > 0, else `otherwise`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(value.llvm, None)
        return builder.select(builder.fcmp_ordered(">", args[0], zero), args[1], args[2])

    return then(value, then, otherwise), generate


@intrinsic
def is_less(typing: Any, a: Any, b: Any) -> Any:
    """Return 1 in the lanes where a < b as unsigned integers, else 0: the carry of a sum."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.icmp_unsigned("<", *args), a.llvm)

    return a(a, b), generate


@intrinsic
def to_float(typing: Any, value: Any) -> Any:
    """Convert signed integers to float64."""
    vector = Vector(value.lanes, True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.sitofp(args[0], vector.llvm)

    return vector(value), generate


@intrinsic
def to_integer(typing: Any, value: Any) -> Any:
    """Convert float64 to signed integers, cutting off fractions."""
    vector = Vector(value.lanes, False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fptosi(args[0], vector.llvm)

    return vector(value), generate


@intrinsic
def any_lane(typing: Any, value: Any) -> Any:
    """Return whether any lane of a float vector is not zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = builder.fcmp_unordered("!=", args[0], ir.Constant(value.llvm, None))
        bits = builder.bitcast(mask, ir.IntType(value.lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(value), generate


def _address(context: Any, builder: Any, array: Any, args: Any) -> Any:
    """Return the address of array[row, column]; rows are as long as the last axis (C order)."""
    view, row, column = args[0], args[1], args[2]
    fields = context.make_array(array)(context, builder, view)
    length = cgutils.unpack_tuple(builder, fields.shape)[1]
    return builder.gep(fields.data, [builder.add(builder.mul(row, length), column)])
