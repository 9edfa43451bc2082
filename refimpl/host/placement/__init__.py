"""What goes where: layers and single tensors to devices, the graphs that follow from it, and the memory they need."""
