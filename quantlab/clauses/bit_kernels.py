"""Sixty-four bars at a time: the few operations on bits that a loop over bars does not compile to.

Each is a vector operation that LLVM translates for any processor. None checks bounds: the caller's arrays
reach 64 elements from the given place.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from quantlab.jit import instead_of

_BITS = 64


def _word(flags):
    return np.packbits(flags, bitorder="little").view(np.uint64)[0]


def _load(context, builder, signature, args, element):
    """The vectors of 64 elements from the given flat places of one or two arrays."""
    vectors = []
    for array_type, array, place in zip(signature.args[::2], args[::2], args[1::2], strict=True):
        start = builder.gep(cgutils.create_struct_proxy(array_type)(context, builder, array).data, [place])
        vector = ir.VectorType(element, _BITS).as_pointer()
        vectors.append(builder.load(builder.bitcast(start, vector), align=element.width // 8))
    return vectors


@instead_of(lambda a, i, b, j: _word(a.ravel()[i : i + _BITS] > b.ravel()[j : j + _BITS]))
def greater_bits(typing, a, i, b, j):
    """Bits of ``a.flat[i:i + 64] > b.flat[j:j + 64]`` of two int16 arrays, contiguous."""

    def generate(context, builder, signature, args):
        x, y = _load(context, builder, signature, args, ir.IntType(16))
        return builder.bitcast(builder.icmp_signed(">", x, y), ir.IntType(_BITS))

    return types.uint64(a, types.intp, b, types.intp), generate


@instead_of(lambda a, i, b, j: _word(a.ravel()[i : i + _BITS] == b.ravel()[j : j + _BITS]))
def equal_bits(typing, a, i, b, j):
    """Bits of ``a.flat[i:i + 64] == b.flat[j:j + 64]`` of two int16 arrays, contiguous."""

    def generate(context, builder, signature, args):
        x, y = _load(context, builder, signature, args, ir.IntType(16))
        return builder.bitcast(builder.icmp_signed("==", x, y), ir.IntType(_BITS))

    return types.uint64(a, types.intp, b, types.intp), generate


@instead_of(lambda words, i: _word(words.ravel()[i : i + _BITS] != 0))
def nonzero_bits(typing, words, i):
    """Bits of ``words.flat[i:i + 64] != 0`` of a uint64 array, contiguous."""

    def generate(context, builder, signature, args):
        (x,) = _load(context, builder, signature, args, ir.IntType(64))
        return builder.bitcast(builder.icmp_signed("!=", x, ir.Constant(x.type, None)), ir.IntType(_BITS))

    return types.uint64(words, types.intp), generate


@instead_of(lambda word: np.uint64((int(word) & -int(word)).bit_length() - 1))
def lowest_bit(typing, word):
    """Number of the lowest bit that is set in a word that is not zero."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


def _folded(x, y):
    product = int(x) * int(y)
    return np.uint64((product ^ (product >> _BITS)) & (2**_BITS - 1))


@instead_of(_folded)
def fold_product(typing, x, y):
    """Both halves of the 128-bit product of two words, one over the other: every bit of it hangs on all."""

    def generate(context, builder, signature, args):
        wide = ir.IntType(2 * _BITS)
        product = builder.mul(*(builder.zext(arg, wide) for arg in args))
        high = builder.lshr(product, ir.Constant(wide, _BITS))
        return builder.trunc(builder.xor(product, high), ir.IntType(_BITS))

    return types.uint64(types.uint64, types.uint64), generate
