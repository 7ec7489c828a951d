"""A GPU that is rented at RunPod for one job: its API, offers and prices, the pods and what watches over them."""
