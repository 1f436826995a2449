"""How a model is trained: data, recipes, steps, the run and its log. Taught in notebooks/07_train_on_cifar10."""
