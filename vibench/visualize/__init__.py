"""What a trained model does, in pictures.

Start with `gallery`: a `request` says what is asked for, `pictured_run` embeds, ranks and evaluates the test images
once for all, `queries` are chosen, and `grad_cam` or `attention_rollout` say where a network looks. `vibench.pictures`
draws.
"""
