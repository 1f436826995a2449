"""How a net is trained: the data, the recipe, the loop, and what a run leaves behind. Taught in notebooks/07_train_on_cifar10."""
