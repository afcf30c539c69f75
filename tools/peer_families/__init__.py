"""EnCodec and Mimi beside the packages that they come from: hop by hop and in bulk, both ways (``tools/peers``)."""
