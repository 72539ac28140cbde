#!/bin/sh
# No Python: minimises (x - 3)^2 by gradient descent with the step size --step, and prints the loss of each epoch.
# usage: quadratic.sh --step 0.1 --epochs 9
exec awk -v step="$2" -v epochs="$4" 'BEGIN {
    x = 0
    for (epoch = 1; epoch <= epochs; epoch++) {
        x -= step * 2 * (x - 3)
        printf "epoch %d: loss=%.6f\n", epoch, (x - 3) * (x - 3)
    }
}'
