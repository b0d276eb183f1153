"""The pieces that every method is put together from; none of them knows a method's name.

An attribution by gradients is ``combine(sum_k w_k * d output / d z at z = p_k)``:

* ``site`` says where the explained value ``z`` lives and how the model is run with it,
* ``output`` which scalar per example is explained,
* ``path`` at which points ``p_k`` with which weights ``w_k``,
* ``combine`` how gradients become attributions.

``door`` turns what a user passes into these pieces, ``gradient`` runs them in chunks that
``batching`` cuts, ``model`` borrows the user's model and gives it back as it was, and ``report``
collects what a call has to say beside its numbers.
"""
