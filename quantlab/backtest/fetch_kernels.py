"""Memory that is needed soon: asked for early, so that nothing waits for it."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from quantlab.jit import instead_of

_READ, _KEEP, _DATA = 0, 3, 1

AHEAD = 2
"""How many decisions ahead the bar of a fill is fetched: half of the time went by waiting for it."""


@instead_of(lambda rows, row: None)
def fetch(typing, rows, row):
    """Begin to load the first elements of row `row` of a two-dimensional array; nobody waits for them."""

    def generate(context, builder, signature, args):
        array = cgutils.create_struct_proxy(signature.args[0])(context, builder, args[0])
        stride = cgutils.unpack_tuple(builder, array.strides)[0]
        byte = ir.IntType(8).as_pointer()
        start = builder.gep(builder.bitcast(array.data, byte), [builder.mul(args[1], stride)])
        kind = ir.FunctionType(ir.VoidType(), [byte, *[ir.IntType(32)] * 3])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(prefetch, [start, *(ir.Constant(ir.IntType(32), n) for n in (_READ, _KEEP, _DATA))])
        return context.get_dummy_value()

    return types.none(rows, types.intp), generate
