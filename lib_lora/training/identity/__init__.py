"""The identity loss: whose face a prediction would show, as a part of the loss of a training."""
