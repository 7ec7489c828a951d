"""States how many photos a character needs: to be trained on at all, to be learned well, and at best."""

LEAST_TO_TRAIN = 8  # with fewer, `train` refuses to start without --few
FEW_BELOW = 15  # with fewer, a face is learned, but looks stiff
BEST_COUNT = 20, 50  # from, to
