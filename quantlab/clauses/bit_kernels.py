"""Sixty-four bars at a time: the few operations on bits that a loop over bars does not compile to.

Each is a vector operation that LLVM translates for any processor. None checks bounds: the caller's arrays
reach 64 elements from the given place.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BITS = 64


def _load(context, builder, signature, args, element):
    """The vectors of 64 elements from the given flat places of one or two arrays."""
    vectors = []
    for array_type, array, place in zip(signature.args[::2], args[::2], args[1::2], strict=True):
        start = builder.gep(cgutils.create_struct_proxy(array_type)(context, builder, array).data, [place])
        vector = ir.VectorType(element, _BITS).as_pointer()
        vectors.append(builder.load(builder.bitcast(start, vector), align=element.width // 8))
    return vectors


@intrinsic
def greater_bits(typing, a, i, b, j):
    """Bits of ``a.flat[i:i + 64] > b.flat[j:j + 64]`` of two int16 arrays, contiguous."""

    def generate(context, builder, signature, args):
        x, y = _load(context, builder, signature, args, ir.IntType(16))
        return builder.bitcast(builder.icmp_signed(">", x, y), ir.IntType(_BITS))

    return types.uint64(a, types.intp, b, types.intp), generate


@intrinsic
def equal_bits(typing, a, i, b, j):
    """Bits of ``a.flat[i:i + 64] == b.flat[j:j + 64]`` of two int16 arrays, contiguous."""

    def generate(context, builder, signature, args):
        x, y = _load(context, builder, signature, args, ir.IntType(16))
        return builder.bitcast(builder.icmp_signed("==", x, y), ir.IntType(_BITS))

    return types.uint64(a, types.intp, b, types.intp), generate


@intrinsic
def nonzero_bits(typing, words, i):
    """Bits of ``words.flat[i:i + 64] != 0`` of a uint64 array, contiguous."""

    def generate(context, builder, signature, args):
        (x,) = _load(context, builder, signature, args, ir.IntType(64))
        return builder.bitcast(builder.icmp_signed("!=", x, ir.Constant(x.type, None)), ir.IntType(_BITS))

    return types.uint64(words, types.intp), generate


@intrinsic
def lowest_bit(typing, word):
    """Number of the lowest bit that is set in a word that is not zero."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate
