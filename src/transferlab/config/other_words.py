"""Other tools' words for our settings, `epochs`, `lr`, `model`, and the key or group that each means."""

from __future__ import annotations

from collections.abc import Mapping

_WORDS = {
    "seed": "seeds random_seed random_state manual_seed",
    "backbone": "model models arch architecture net network encoder base_model pretrained_model model_name",
    "backbone.weights": "pretrained pretrained_weights checkpoint ckpt ckpt_path model_path init_from",
    "data": "dataset datasets data_set ds dataset_name",
    "data.root": "data_dir data_path data_root dataset_path dataset_dir root_dir path folder dir image_dir "
    "images img_dir train_dir input",
    "data.source.table": "csv csv_file table_path annotations labels_file",
    "data.batch_size": "batch bs batchsize train_batch_size per_device_train_batch_size minibatch",
    "data.num_workers": "workers num_worker nworkers n_workers j",
    "data.image_size": "img_size imgsz imgsize input_size resolution crop_size resize size",
    "data.val_fraction": "val_split val_size valid_size validation_split validation_fraction val_ratio val",
    "data.test_fraction": "test_split test_size test_ratio",
    "data.num_folds": "folds n_folds k_folds kfold n_splits cv",
    "data.shots_per_class": "shots n_shots k_shot num_shots",
    "data/augmentation": "aug augment augmentations transform transforms randaugment",
    "data/mixing": "mixup_prob cutmix_prob mix",
    "strategy": "method algorithm algo recipe approach",
    "strategy/head": "classifier classifier_head",
    "strategy/objective": "loss criterion loss_fn loss_function",
    "strategy/penalty": "regularizer regularization",
    "strategy/unfreezing": "freeze freezing unfreeze freeze_backbone frozen",
    "strategy.head_dropout": "dropout drop_rate dropout_rate",
    "strategy.objective.label_smoothing": "smoothing",
    "strategy.objective.class_weights": "class_weight",
    "strategy.learning_rates.base": "lr learning_rate base_lr lr_base max_lr init_lr lr0 head_lr",
    "strategy.learning_rates.backbone_factor": "backbone_lr lr_mult backbone_lr_mult",
    "strategy.learning_rates.stage_decay": "layer_decay llrd layerwise_decay",
    "strategy.learning_rates.weight_decay": "wd decay l2 weightdecay",
    "strategy.learning_rates.optimizer": "opt optim optimiser",
    "strategy.learning_rates.schedule": "scheduler sched lr_scheduler lr_schedule lr_policy",
    "strategy.learning_rates.sam_rho": "sam rho use_sam",
    "strategy.learning_rates.warmup_epochs": "warmup warm_up warmup_steps",
    "fit.early_stopping_patience": "patience early_stopping early_stop",
    "fit.ema_decay": "ema model_ema",
    "fit.swa_start": "swa use_swa swa_epoch_start",
    "fit.compile": "torch_compile",
    "trainer.max_epochs": "epochs epoch num_epochs n_epochs nepochs n_epoch max_epoch "
    "num_train_epochs nb_epochs",
    "trainer.max_steps": "steps iterations iters num_steps max_iter max_iters niter",
    "trainer.max_time": "time time_limit max_hours timeout",
    "trainer.devices": "gpus gpu num_gpus n_gpu n_gpus gpu_ids num_devices cuda_visible_devices",
    "trainer.accelerator": "device cuda accel use_gpu",
    "trainer.num_nodes": "nodes nnodes",
    "trainer.precision": "amp fp16 bf16 half mixed_precision use_amp dtype",
    "trainer.accumulate_grad_batches": "grad_accum accumulation gradient_accumulation accum_steps "
    "grad_accum_steps gradient_accumulation_steps accumulate",
    "trainer.gradient_clip_val": "clip grad_clip clip_grad gradient_clip max_grad_norm clip_norm",
    "logger": "wandb tensorboard tracker logging loggers report_to tracking",
    "hydra.run.dir": "output output_dir out out_dir outdir save_dir save_path run_dir logdir log_dir "
    "work_dir results_dir exp_dir default_root_dir",
    "name": "exp_name experiment_name run_name project",
    "experiment": "config cfg preset exp config_file",
}
OTHER_WORDS: Mapping[str, str] = {word: ours for ours, words in _WORDS.items() for word in words.split()}


def meant_by_word(name: str) -> str | None:
    """Our key or group for another tool's word, in any spelling of it: `num-epochs`, `LR`; None: unknown.

    >>> meant_by_word("num-epochs"), meant_by_word("seed")
    ('trainer.max_epochs', None)
    """
    return OTHER_WORDS.get(name.lstrip("-+").replace("-", "_").lower())
